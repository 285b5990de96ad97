"""What each form of the Kantorovich certificate gains: by which factor the loss has fallen when it first holds.

    python benchmarks/gain_of_forms.py sphere-100 equilibrium ...

Trains by gradient descent at 1/λ_max and keeps the weights at every fall of the loss by a tenth. Each form is asked alone
(`theory.certify` with the blocks that it is about), for flow and for descent at a tenth of 1/λ_max, a third and the whole,
and the first weights at which it holds are found by bisection. Prints one line each: loss(0)/loss(k), and the epoch.
"""

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from globalmin import data, systems
from globalmin.systems.comparison import displacement, fitted
from globalmin.theory import Verdict, certify
from globalmin.train.descent import descend, start

SHARES = (0.1, 1 / 3, 1.0)  # of the step size 1/λ_max


@dataclasses.dataclass(frozen=True)
class Case:
    """A problem: its system, width and data; `centre`, train f − f at initialisation."""

    system: str
    options: dict[str, Any]
    width: int
    rows: Callable[[], tuple[np.ndarray, np.ndarray]]
    epochs: int = 100_000
    centre: bool = False
    most: float = 1e7  # by what factor the loss may fall


def _sphere(n, d, norm=1.0):
    def rows():
        x_key, y_key = jax.random.split(jax.random.key(0))
        x = jax.random.normal(x_key, (n, d))
        x = norm * x / jnp.linalg.norm(x, axis=1, keepdims=True)
        return np.asarray(x), np.asarray(jax.random.normal(y_key, (n,)))

    return rows


def _digits(n, norm):
    def rows():
        found = data.load("digits", n=n, normalize=norm, seed=0)
        return np.asarray(found.x), np.asarray(found.y)

    return rows


CASES = {
    "sphere-100": Case("two-layer", {"activation": "softplus"}, 2000, _sphere(100, 100)),
    "sphere-100-centred": Case("two-layer", {"activation": "softplus"}, 2000, _sphere(100, 100), centre=True),
    "sphere-500": Case("two-layer", {"activation": "softplus"}, 20_000, _sphere(500, 500), epochs=60),
    "digits-sin": Case("two-layer", {"activation": "sin"}, 20_000, _digits(200, "sqrt-d"), 40, centre=True),
    "digits-tanh": Case("two-layer", {"activation": "tanh"}, 20_000, _digits(200, "unit"), 300, centre=True),
    "equilibrium": Case("equilibrium", {"activation": "tanh", "sigma_w2": 0.08}, 1000, _sphere(50, 50, 50**0.5), 400),
    "equilibrium-centred": Case(
        "equilibrium", {"activation": "tanh", "sigma_w2": 0.08}, 1000, _sphere(50, 50, 50**0.5), 400, centre=True
    ),
    "equilibrium-small": Case(
        "equilibrium", {"activation": "tanh", "sigma_w2": 0.03}, 1000, _sphere(50, 50, 50**0.5), 400
    ),
    "equilibrium-small-centred": Case(
        "equilibrium", {"activation": "tanh", "sigma_w2": 0.03}, 1000, _sphere(50, 50, 50**0.5), 400, centre=True
    ),
    "neural-ode": Case("neural-ode", {"activation": "tanh"}, 1000, _sphere(50, 50), 400),
    "neural-ode-half": Case("neural-ode", {"activation": "tanh", "sigma_w": 0.5}, 1000, _sphere(50, 50), 400),
    "neural-ode-half-centred": Case(
        "neural-ode", {"activation": "tanh", "sigma_w": 0.5}, 1000, _sphere(50, 50), 400, centre=True, most=1e5
    ),
    "neural-ode-quarter": Case(
        "neural-ode", {"activation": "tanh", "sigma_w": 0.25}, 1000, _sphere(50, 50), 400, most=1e5
    ),
    "neural-ode-quarter-centred": Case(
        "neural-ode", {"activation": "tanh", "sigma_w": 0.25}, 1000, _sphere(50, 50), 400, centre=True, most=1e5
    ),
    "gated": Case("gated", {"depth": 2}, 1000, _sphere(100, 100), 400),
}


def holds(system, iterate, form: str, **keywords) -> bool:
    """Whether one form of the certificate holds here."""
    blocks, curvature, _ = system.curvature(iterate)
    if form == "displacement":
        far = displacement(iterate)
        if curvature is None or not any(curvature.lipschitz(far) * far < 2 * block.sigma.upper for block in blocks):
            return False
        other = fitted(system, iterate)
        if other is None:
            return False
        iterate_at, comparison = other
        blocks, curvature, _ = system.curvature(iterate_at)
        keywords["comparison"] = comparison
    some = [block for block in blocks if block.along_path is (form == "local constants")]
    return bool(some) and certify(iterate.rho, some, curvature, **keywords).verdict is Verdict.HOLDS


def trained(case: Case):
    """1/λ_max, what makes an iterate of a model, and (loss, epoch, model) at every fall of the loss by a tenth."""
    x, y = (jnp.asarray(a) for a in case.rows())
    system = systems.build(case.system, **case.options)
    model = system.init(x.shape[1], case.width, key=jax.random.key(0))
    if case.centre:
        y = y + jnp.asarray(system.iterate(model, x, jnp.zeros(len(x))).outputs)
    state = start(model, x)

    def at(model):
        return system, system.iterate(model, x, y)

    iterate = system.iterate(model, x, y, state.solver or None)
    eta, kept, last = 1 / iterate.lambda_max.value, [], np.inf
    while True:
        loss = iterate.loss
        if not kept or loss < 0.9 * kept[-1][0]:
            kept.append((loss, state.epoch, state.model))
        if state.epoch >= case.epochs or kept[0][0] > case.most * loss or loss == last:
            return eta, at, kept
        last = loss
        state, records = descend(state, x, y, eta, 1 if state.epoch < 100 else max(1, state.epoch // 30))
        if records.message:
            return eta, at, kept
        iterate = system.iterate(state.model, x, y, state.solver or None)


def measure(case: Case) -> None:
    """The loss ratio and the epoch at which each form first holds, by bisection: once it holds, it goes on holding."""
    eta, at, kept = trained(case)
    first = kept[0][0]
    steps: dict[str, dict[str, Any]] = {"flow": {"flow": True}}
    steps |= {f"descent at {s:.2g}/λ_max": {"step_size": s * eta} for s in SHARES}
    names = ("first", "local constants", "displacement") if case.system == "two-layer" else ("first", "displacement")
    for form in names:
        low = -1  # a smaller h is needed from one step size to the next, larger one
        for how, keywords in steps.items():
            high = len(kept)
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if holds(*at(kept[middle][2]), form, **keywords) else (middle, high)
            if high == len(kept):
                print(f"  {form}, {how}: not until {first / kept[-1][0]:.3g}, epoch {kept[-1][1]}", flush=True)
                break
            print(f"  {form}, {how}: {first / kept[high][0]:.3g} at epoch {kept[high][1]}", flush=True)
            low = high - 1


def main() -> None:
    """Measure the cases named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+", choices=CASES)
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    for name in arguments.cases:
        print(name, flush=True)
        measure(CASES[name])


if __name__ == "__main__":
    main()
