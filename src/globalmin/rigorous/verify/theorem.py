"""The theorem's inequalities, checked from the confirmed hypotheses; and every derived number of the file with them."""

from typing import Any

from .. import file
from .claims import Claims, RefutedError
from .constants import Constants


def check_theorem(content: dict[str, Any], claims: Claims, constants: Constants) -> None:
    """Confirm c, h, R_*, σ_* and the rate. **Raises:** `RefutedError` for the first that is not proven."""
    arb = claims.arb
    name, block = content["theorem"]["id"], content["block"]
    if name not in file.THEOREMS or content["theorem"]["statement"] != file.THEOREMS[name]:
        raise RefutedError(
            f"certificate: a theorem of {', '.join(file.THEOREMS)} in its own words expected, {name!r} came"
        )
    if block not in constants.blocks:
        raise RefutedError(f"certificate: a block of {', '.join(constants.blocks)} expected, {block!r} came")
    flow = name.endswith("flow")
    radius = arb(file.from_hex("ball", content["ball"]))
    rho, sigma2 = claims.upper("rho_0"), claims.lower(f"lambda_min_{block}")
    _ask(sigma2 > 0, "σ₀ > 0")
    _ask(radius >= 0, "R ≥ 0")

    conditions = {
        k: tuple(arb(file.from_hex(k, end)) for end in ends) for k, ends in content["conditions"].items()
    }  # fmt: skip
    known = {"lipschitz_block", "c", "h"} | (set() if flow else {"lipschitz", "beta"})
    if set(conditions) != known:
        raise RefutedError(f"certificate: the conditions {', '.join(sorted(known))} expected, others came")
    slope = constants.blocks[block](radius)
    _inside(conditions, "lipschitz_block", slope)
    if flow:
        if content["step_size"] is not None:
            raise RefutedError("certificate: no step size expected for gradient flow, one came")
        eta, c = arb(1), arb(1)
    else:
        eta = arb(file.from_hex("step_size", content["step_size"]))
        _ask(eta > 0, "η > 0")
        if constants.whole is None:
            raise RefutedError(
                "refuted: gradient descent is claimed where nothing bounds the change of the whole Jacobian"
            )
        whole = constants.whole(radius)
        _inside(conditions, "lipschitz", whole)
        beta = claims.upper("lambda_max").sqrt() + whole * radius
        _inside(conditions, "beta", beta)
        c = 1 - eta * beta**2 / 2 - eta * whole * rho / 2
    _ask(c > 0, "c > 0")
    _inside(conditions, "c", c)
    h = slope * rho / (c * sigma2)
    _ask(2 * h < 1, "h < 1/2")
    _inside(conditions, "h", h)
    sigma = sigma2.sqrt()
    star = sigma * (1 - 2 * h).sqrt()
    path = 2 * rho / (c * (sigma + star))
    _ask(path <= radius, "R_* ≤ R")

    conclusion = content["conclusion"]
    shown = {k: file.from_hex(k, conclusion[k]) for k in ("radius", "sigma_star", "rate")}
    _ask(path <= arb(shown["radius"]), f"R_* ≤ {shown['radius']:.6g}")
    _ask(arb(shown["sigma_star"]) <= star, f"σ_* ≥ {shown['sigma_star']:.6g}")
    rate = arb(shown["rate"])
    slow_enough = rate > 0 and star**2 >= -rate.log() if flow else 1 - c * eta * star**2 <= rate
    _ask(slow_enough, f"the factor is at most {shown['rate']:.10g}")
    step = None if flow else float(eta)
    words = file.conclusion_of(name, step, shown["radius"], shown["rate"])
    if conclusion["statement"] != words or set(conclusion) != {"statement", *shown}:
        raise RefutedError("certificate: the conclusion's words do not follow from its numbers; the file was changed")


def _inside(conditions: dict[str, Any], name: str, ball: Any) -> None:
    low, high = conditions[name]
    if not (low <= ball <= high):
        raise RefutedError(f"refuted: {name} = {float(ball):.17g} was found, outside the interval of the file")


def _ask(shown: bool, inequality: str) -> None:
    if not shown:
        raise RefutedError(f"refuted: {inequality} could not be proven from the file's hypotheses")
