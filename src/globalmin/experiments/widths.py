"""How wide must it be: what five works ask for (Table 1 of Noy et al.), and where the project's own certificate holds."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from .. import data
from .._core import linalg
from ..kernels import h_infinity
from ..models import Gated
from ..systems import GatedSystem
from ..theory import Kantorovich, Verdict, noy2021

FIRST_WIDTH = 64
PARTS = (1.0, 0.8, 0.6, 0.4, 0.2)


def widths(
    n: int,
    depth: int,
    inputs: int,
    *,
    outputs: int = 1,
    lambda_0: float | None = None,
    eps: float = 1e-3,
    delta: float = 0.1,
    largest: int = 1024,
    gates: str = "chain",
    seed: int = 0,
) -> dict[str, Any]:
    """Width and iterations, by work, for n unit inputs in R^d and L trained layers.

    **Arguments:** `lambda_0`, of the first row; by default λ_min(H^∞) of the two-layer ReLU network on n random unit rows.
    `eps`, the loss to reach; `delta`, failure probability; `largest`, up to which width the certificate is evaluated, on
    gated networks at the start of training with labels N(0, 1), on doubling widths.

    **Returns:** `rows` with `work`, `width`, `iterations`, `failure`, `step_size`, `remark`; `measured`, the certificate at
    each width that was tried (`flow_h` and `h` below 1/2 hold); the arguments.

    **Raises:** `ValueError` for counts below 1, or eps or delta outside (0, 1).
    """
    system = GatedSystem(depth=depth, gates=gates)
    x = jnp.asarray(data.load("sphere", n=n, d=inputs, seed=seed).x)
    y = jax.random.normal(jax.random.key(seed), (n * outputs,))
    if lambda_0 is None:
        lambda_0 = linalg.lambda_min(h_infinity(x)).value
    rows = noy2021.table1(n, depth, inputs, outputs=outputs, lambda_0=lambda_0, eps=eps, delta=delta)
    measured, width = [], min(FIRST_WIDTH, largest)
    last: dict[str, tuple[int, Kantorovich]] = {}
    while True:
        model = Gated.init(inputs, width, depth, key=jax.random.key(seed), outputs=outputs, gates=gates)
        iterate = system.iterate(model, x, y)
        descent, flow = system.kantorovich(iterate, None, width=width)
        measured.append({"width": width, "h": _finite(descent.h), "flow_h": _finite(flow.h), "rho_0": flow.rho_0})
        last = {"descent": (width, descent), "flow": (width, flow)}
        if descent.outcome is Verdict.HOLDS or width >= largest:
            break
        width = min(2 * width, largest)
    if descent.outcome is Verdict.HOLDS and descent.step_size is not None:
        # At the largest step size nothing is left of the rate: take the step size with the best one.
        tried = [system.kantorovich(iterate, part * descent.step_size, width=width)[0] for part in PARTS]
        last["descent"] = (width, min(tried, key=lambda one: one.rate or 1.0))
    own = [_own(method, *last[method], eps) for method in ("descent", "flow")]
    for one, key in zip(own, ("h", "flow_h"), strict=True):
        # Flow may hold at a smaller width than the one at which the doubling stopped.
        holding = [m["width"] for m in measured if m[key] is not None and m[key] < 0.5]
        if holding:
            one["width"] = float(holding[0])
    return {
        "n": n, "depth": depth, "inputs": inputs, "outputs": outputs, "lambda_0": lambda_0, "eps": eps, "delta": delta,
        "gates": gates, "seed": seed, "measured": measured, "rows": [*map(dataclasses.asdict, rows), *own],
    }  # fmt: skip


def _finite(h: float | None) -> float | None:
    return None if h is None or not math.isfinite(h) else h


def _own(method: str, width: int, found: Kantorovich, eps: float) -> dict[str, Any]:
    holds = found.outcome is Verdict.HOLDS
    iterations, rate = math.inf if method == "descent" else math.nan, found.rate
    if method == "descent" and holds and rate is not None and 0 < rate < 1:
        iterations = math.ceil(math.log(max(found.loss_0 / eps, 1.0)) / (-2 * math.log(rate)))
    needed = float(width) if holds else width * (2 * found.h) ** 2 if _finite(found.h) is not None else math.inf  # pyright: ignore
    remark = (
        "measured: it holds here" if holds else f"from m = {width}, if h falls as m^(−1/2); in training it holds sooner"
    )
    return {
        "work": f"globalmin, Kantorovich ({method})", "width": needed, "iterations": iterations, "failure": 0.0,
        "step_size": found.step_size if method == "descent" and holds else math.nan, "remark": remark,
    }  # fmt: skip
