"""What each form of the Kantorovich certificate gains: by which factor the loss has fallen when it first holds.

    python benchmarks/gain_of_forms.py sphere-100 equilibrium ...

Trains by gradient descent at 1/λ_max and looks whenever the loss has fallen by a fifth; at every look each form is asked alone
(`theory.certify` with the blocks that it is about), for flow and for descent at 1/λ_max, a third and a tenth of it. A problem
ends when every form holds or its epochs are spent. Prints one line per form: loss(0)/loss(k), and the epoch.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from globalmin import data, systems
from globalmin.systems.comparison import displacement, fitted
from globalmin.theory import Verdict, certify
from globalmin.train.descent import descend, start

SHARES = (1.0, 1 / 3, 0.1)  # of the step size 1/λ_max


@dataclasses.dataclass(frozen=True)
class Case:
    """A problem: its system, width and data; `centre`, train f − f at initialisation."""

    system: str
    options: dict[str, Any]
    width: int
    rows: Callable[[], tuple[np.ndarray, np.ndarray]]
    epochs: int = 100_000
    centre: bool = False
    steps: float = 1.0  # of descent, in units of 1/λ_max


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
    "gated": Case("gated", {"depth": 2}, 1000, _sphere(100, 100), 400),
}


def forms(system, iterate, steps, wanted) -> dict[str, bool]:
    """Which of the wanted forms hold here."""
    blocks, curvature, _ = system.curvature(iterate)
    named = {
        "first": [b for b in blocks if not b.along_path],
        "local constants": [b for b in blocks if b.along_path],
    }
    found: dict[str, bool] = {}

    def ask(form, some, bend, comparison=None):
        for how, keywords in steps.items():
            name = f"{form}, {how}"
            if name in wanted and some and (bend is not None or "flow" in keywords):
                got = certify(iterate.rho, some, bend, comparison=comparison, **keywords)
                found[name] = got.verdict is Verdict.HOLDS

    for form, some in named.items():
        ask(form, some, curvature)
    if curvature is not None and any(name.startswith("displacement") for name in wanted):
        far = displacement(iterate)
        if any(curvature.lipschitz(far) * far < 2 * block.sigma.upper for block in blocks):
            other = fitted(system, iterate)
            if other is not None:
                there, bend, _ = system.curvature(other[0])
                ask("displacement", [b for b in there if not b.along_path], bend, other[1])
    return found


def measure(case: Case, patience: float) -> dict[str, tuple[float, int]]:
    """The loss ratio and the epoch at which each form first holds; a look costs what its forms cost."""
    x, y = (jnp.asarray(a) for a in case.rows())
    system = systems.build(case.system, **case.options)
    model = system.init(x.shape[1], case.width, key=jax.random.key(0))
    if case.centre:
        y = y + jnp.asarray(system.iterate(model, x, jnp.zeros(len(x))).outputs)
    state = start(model, x)
    iterate = system.iterate(model, x, y, state.solver or None)
    eta, first, before, started = 1 / iterate.lambda_max.value, iterate.loss, np.inf, time.monotonic()
    steps: dict[str, dict[str, Any]] = {f"descent at {s:.2g}/λ_max": {"step_size": s * eta} for s in SHARES}
    steps["flow"] = {"flow": True}
    names = ("first", "local constants", "displacement") if case.system == "two-layer" else ("first", "displacement")
    wanted = {f"{form}, {how}" for form in names for how in steps}
    found: dict[str, tuple[float, int]] = {}
    while wanted and state.epoch <= case.epochs and time.monotonic() - started < patience:
        loss = iterate.loss
        if loss < 0.8 * before:
            before = loss
            for name, holds in forms(system, iterate, steps, wanted).items():
                if holds:
                    found[name] = (first / loss, state.epoch)
                    print(f"  {name}: {first / loss:.3g} at epoch {state.epoch}", flush=True)
            wanted -= found.keys()
        last = loss
        state, records = descend(state, x, y, eta, 1 if state.epoch < 30 else max(1, state.epoch // 30))
        if records.message:
            break
        iterate = system.iterate(state.model, x, y, state.solver or None)
        if last == iterate.loss:
            break
    for name in sorted(wanted):
        print(f"  {name}: not until {first / iterate.loss:.3g}, epoch {state.epoch}", flush=True)
    return found


def main() -> None:
    """Measure the cases named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+", choices=CASES)
    parser.add_argument("--patience", type=float, default=600, help="seconds for each at most")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    for name in arguments.cases:
        print(name, flush=True)
        measure(CASES[name], arguments.patience)


if __name__ == "__main__":
    main()
