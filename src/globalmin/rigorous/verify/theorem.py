"""The theorem's inequalities, checked from the confirmed hypotheses; and every derived number of the file with them."""

from typing import Any

from .. import file
from .claims import Claims, RefutedError
from .constants import Constants


def check_theorem(content: dict[str, Any], claims: Claims, constants: Constants, *, displaced: bool) -> None:
    """Confirm every inequality, the radius, the path, σ_* and the rate.

    **Arguments:** `displaced`: whether the claims but ρ₀ are about a comparison point.

    **Raises:** `RefutedError` for the first that is not proven.
    """
    arb = claims.arb
    name, block = content["theorem"]["id"], content["block"]
    if name not in file.THEOREMS or content["theorem"]["statement"] != file.THEOREMS[name]:
        raise RefutedError(
            f"certificate: a theorem of {', '.join(file.THEOREMS)} in its own words expected, {name!r} came"
        )
    if displaced != ("displacement" in name):
        raise RefutedError("certificate: a comparison point belongs to the displacement form, and to no other")
    if block not in constants.blocks:
        raise RefutedError(f"certificate: a block of {', '.join(constants.blocks)} expected, {block!r} came")
    along_path = block in constants.along_path
    if along_path != ("path" in name):
        raise RefutedError("certificate: a block of constants along the path belongs to the path form, and to no other")
    flow = name.endswith("flow")
    radius = arb(file.from_hex("ball", content["ball"]))
    rho, sigma2 = claims.upper("rho_0"), claims.lower("lambda_min_all" if along_path else f"lambda_min_{block}")
    _ask(sigma2 > 0, "σ₀ > 0")
    _ask(radius >= 0, "R ≥ 0")

    ends = content["conditions"].items()
    conditions = {k: tuple(arb(file.from_hex(k, end)) for end in pair) for k, pair in ends}
    known = {"lipschitz_block", "c", "h"} | (set() if flow else {"beta"})
    known |= ({"lipschitz"} if displaced or not flow else set()) | ({"target"} if displaced else set())
    if set(conditions) != known:
        raise RefutedError(f"certificate: the conditions {', '.join(sorted(known))} expected, others came")
    slope, whole = constants.blocks[block](radius), arb(0)
    _inside(conditions, "lipschitz_block", slope)
    if "lipschitz" in known:
        if constants.whole is None:
            raise RefutedError("refuted: a claim that needs Λ of the whole Jacobian, for which nothing is proven")
        whole = constants.whole(radius)
        _inside(conditions, "lipschitz", whole)
    if flow:
        if content["step_size"] is not None:
            raise RefutedError("certificate: no step size expected for gradient flow, one came")
        eta, first, c = arb(1), arb(1), arb(1)
    else:
        eta = arb(file.from_hex("step_size", content["step_size"]))
        _ask(eta > 0, "η > 0")
        beta = claims.upper("lambda_max").sqrt() + whole * radius
        _inside(conditions, "beta", beta)
        first = 1 - eta * beta * beta / 2
        c = first - eta * whole * rho / 2
    _ask(c > 0, "c > 0")
    _inside(conditions, "c", c)
    far, target = arb(0), rho
    if displaced:
        far = claims.upper("distance")
        target = rho.min((claims.upper("rho_c") + far * whole * far / 2) / first)
        _inside(conditions, "target", target)
    left = sigma2.sqrt() - far * slope
    _ask(left > 0, "Λ_*D < σ₀")
    h = slope * target / (c * left * left)
    _ask(2 * h < 1, "h < 1/2")
    _inside(conditions, "h", h)
    star = left * (1 - 2 * h).sqrt()
    more = 2 * target / (c * (left + star))
    _ask(far + more <= radius, "D + R_* ≤ R")
    path = more + (rho - target) / (c * left)
    away = path.min(2 * far + more)

    conclusion = content["conclusion"]
    shown = {k: file.from_hex(k, conclusion[k]) for k in ("radius", "path", "sigma_star", "rate")}
    _ask(away <= arb(shown["radius"]), f"the distance is at most {shown['radius']:.6g}")
    _ask(path <= arb(shown["path"]), f"the path is at most {shown['path']:.6g}")
    _ask(arb(shown["sigma_star"]) <= star, f"σ_* ≥ {shown['sigma_star']:.6g}")
    rate = arb(shown["rate"])
    slow_enough = rate > 0 and star * star >= -rate.log() if flow else 1 - c * eta * star * star <= rate
    _ask(slow_enough, f"the factor is at most {shown['rate']:.10g}")
    words = file.conclusion_of(name, None if flow else float(eta), shown["radius"], shown["rate"])
    if conclusion["statement"] != words or set(conclusion) != {"statement", *shown}:
        raise RefutedError("certificate: the conclusion's words do not follow from its numbers; the file was changed")


def _inside(conditions: dict[str, Any], name: str, ball: Any) -> None:
    low, high = conditions[name]
    if not (low <= ball <= high):
        raise RefutedError(f"refuted: {name} = {float(ball):.17g} was found, outside the interval of the file")


def _ask(shown: bool, inequality: str) -> None:
    if not shown:
        raise RefutedError(f"refuted: {inequality} could not be proven from the file's hypotheses")
