"""The rigorous certificate of a two-layer network at n = d = m = 1,000: CPU seconds of making and of checking.

The ratio asserted is against what a proof cannot avoid on this machine: two Gram products, one eigenvalue and two million
activations in Arb. Absolute times are in docs/notes/speed.md.
"""

import time

import flint
import jax
import jax.numpy as jnp
import numpy as np

from globalmin import rigorous, systems
from globalmin.models import TwoLayer


def cpu_seconds(work):
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def floor(x, w):
    """The work itself, unproven."""
    h = x @ w.T
    values = np.array([float(flint.arb(v).tanh()) for v in h.ravel().tolist()]).reshape(h.shape)
    slopes = np.array([float(flint.arb(v).sech()) for v in h.ravel().tolist()]).reshape(h.shape) ** 2
    gram = (slopes @ slopes.T) * (x @ x.T) + values @ values.T
    return np.linalg.eigvalsh(gram)


def test_certify_and_verify(benchmark, tmp_path):
    g = np.random.default_rng(0)
    n = d = m = 1000
    x = g.standard_normal((n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    system = systems.build("two-layer", activation="tanh")
    model = TwoLayer.init(d, m, system.activation, key=jax.random.key(0))
    y = np.asarray(model.outputs(jnp.asarray(x))) + 1e-3 * g.standard_normal(n) / np.sqrt(n)
    iterate = system.iterate(model, jnp.asarray(x), jnp.asarray(y))
    least, _ = cpu_seconds(lambda: floor(x, np.asarray(model.hidden)))
    made, found = cpu_seconds(lambda: rigorous.certify(system, iterate, 0.05))
    assert found.holds
    checked, _ = cpu_seconds(lambda: rigorous.verify(tmp_path / "c.json", *found.write(tmp_path / "c.json")))
    benchmark.extra_info.update(floor=least, certify=made, verify=checked, over_floor=made / least)
    benchmark.pedantic(lambda: rigorous.certify(system, iterate, 0.05), rounds=1)
    assert made < 8 * least
