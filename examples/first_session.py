"""Two networks on handwritten digits: certificate before, monitors during, verdict after."""

import jax

jax.config.update("jax_enable_x64", True)  # kernels and verdicts are float64
import jax.numpy as jnp  # noqa: E402

from globalmin import data, systems, train  # noqa: E402

for name, width, epochs in (("two-layer", 4000, 1500), ("equilibrium", 200, 300)):
    system = systems.build(name, activation="tanh")
    digits = data.load("digits", per_class=10, normalize=system.row_norm)  # classes 0 and 1
    x, y = jnp.asarray(digits.x), jnp.asarray(digits.y)
    prepared = train.prepare(system, x, y, width=width, epochs=epochs, key=jax.random.key(0))
    print(f"{name}: λ₀ = {prepared.limit.lambda_min}, step size {prepared.step_size:.3g}")
    for theorem in prepared.theorems:
        missed = [h.name for h in theorem.hypotheses if h.verdict != "HOLDS"]
        print(f"  {theorem.verdict:9} {theorem.theorem}: {len(missed)} of {len(theorem.hypotheses)} hypotheses missing")
    log = train.Log()
    for _look in train.run(prepared, log):
        pass
    verdict = train.conclude(prepared, log)
    print(f"  {verdict['sentence']}; loss {log.looks[0]['loss']:.3g} -> {log.looks[-1]['loss']:.3g}")
    print("  " + (log.certified.sentence() if log.certified else "not certified yet"))
