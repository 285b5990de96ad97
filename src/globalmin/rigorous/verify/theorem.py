"""The theorem's inequalities, checked from the confirmed hypotheses; and every derived number of the file with them."""

import dataclasses
from typing import Any

from .. import file
from .claims import Claims, RefutedError
from .constants import Constants


def check_theorem(
    content: dict[str, Any], nodes: list[float], claims: Claims, constants: Constants, *, displaced: bool
) -> None:
    """Confirm every inequality, the radius, the path, σ_* and the rate.

    **Arguments:** `nodes`: q_0, …, q_N; `displaced`: whether the claims but ρ₀ are about a comparison point.

    **Raises:** `RefutedError` for the first that is not proven.
    """
    arb = claims.arb
    name, blocks = content["theorem"]["id"], content["block"].split(", ")
    if name not in file.THEOREMS or content["theorem"]["statement"] != file.THEOREMS[name]:
        raise RefutedError(
            f"certificate: a theorem of {', '.join(file.THEOREMS)} in its own words expected, {name!r} came"
        )
    if displaced != ("displacement" in name):
        raise RefutedError("certificate: a comparison point belongs to the displacement form, and to no other")
    if not set(blocks) <= set(constants.blocks) or len(set(blocks)) < len(blocks):
        raise RefutedError(f"certificate: blocks of {', '.join(constants.blocks)} expected, {content['block']!r} came")
    if any(b in constants.along_path for b in blocks) != ("path" in name):
        raise RefutedError("certificate: a block of constants along the path belongs to the path form, and to no other")
    flow = name.endswith("flow")
    rho, far = claims.upper("rho_0"), claims.upper("distance") if displaced else arb(0)
    sigmas = {b: claims.lower(f"lambda_min_{'all' if b in constants.along_path else b}") for b in blocks}
    _ask(all(v > 0 for v in sigmas.values()), "σ₀ > 0")
    sigmas = {b: v.sqrt() for b, v in sigmas.items()}
    if flow:
        if content["step_size"] is not None:
            raise RefutedError("certificate: no step size expected for gradient flow, one came")
        eta, norm = arb(0), arb(0)
    else:
        eta, norm = arb(file.from_hex("step_size", content["step_size"])), claims.upper("lambda_max").sqrt()
        _ask(eta > 0, "η > 0")
    if constants.whole is None and (displaced or not flow):
        raise RefutedError("refuted: a claim that needs Λ of the whole Jacobian, for which nothing is proven")
    ball = file.from_hex("ball", content["ball"])
    if ball not in nodes[1:]:
        raise RefutedError("certificate: the ball's radius expected among the nodes, it is not; the file is damaged")
    _ask(arb(nodes[0]) == far, "the nodes begin at the distance of the point that the constants belong to")
    half = content["half"]
    if half is not None:
        half = half["block"], file.from_hex("half", half["from"])
        if half[0] not in constants.apart or half[0] not in blocks or half[1] not in nodes[:-1]:
            raise RefutedError("certificate: half the path belongs to a block that the others move, from a node on")
    table = _Table(nodes, sigmas, constants, eta, norm, half, flow=flow, displaced=displaced)

    target, early, left = rho, arb(1), table.regular(0) if displaced else _largest(list(sigmas.values()))
    if displaced:
        _ask(left > 0, "Λ_*D < σ₀")
        first = 1 - eta * table.beta(0) ** 2 / 2
        early = first - eta * table.wholes[0] * rho / 2
        _ask(first > 0, "c₁ > 0")
        target = rho.min((claims.upper("rho_c") + far * table.wholes[0] * far / 2) / first)
    _ask(early > 0, "c_D > 0")
    at, last = nodes.index(ball), len(nodes) - 1
    _ask(table.area(at, target) >= target, "∫ce ≥ ρ")
    h = target / (2 * table.area(last, target))
    _ask(2 * h < 1, "h < 1/2")
    star, c, radius = table.regular(at), table.c(at, at, target).min(early), arb(ball)
    _ask(star > 0, "σ_* > 0")
    path = radius - far + (rho - target) / (early * left)
    away = path.min(far + radius) if displaced else radius

    found = {"lipschitz_block": table.best(at), "c": c, "h": h}
    found |= {} if flow else {"lipschitz": table.wholes[at], "beta": table.beta(at)}
    found |= {"target": target} if displaced else {}
    if set(content["conditions"]) != set(found):
        raise RefutedError(f"certificate: the conditions {', '.join(sorted(found))} expected, others came")
    for key, number in found.items():
        low, high = (arb(file.from_hex(key, end)) for end in content["conditions"][key])
        if not (low <= number <= high):
            raise RefutedError(f"refuted: {key} = {float(number):.17g} was found, outside the interval of the file")

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


@dataclasses.dataclass
class _Table:
    """The constants at the nodes, and ∫ce between them."""

    nodes: list[float]
    sigmas: dict[str, Any]
    constants: Constants
    eta: Any
    norm: Any  # ‖J‖
    half: tuple[str, float] | None
    flow: bool
    displaced: bool

    def __post_init__(self):
        self.radii = [next(iter(self.sigmas.values())) * 0 + q for q in self.nodes]
        count = len(self.nodes)
        self.wholes: list[Any] = [self.radii[0] * 0] * count
        # Each block's bound of σ_min between a node and the one before, as height and slope.
        self.lines: list[dict[str, tuple[Any, Any]]] = [{}] * count
        # From the largest ball inward: what was shown there need not be asked again.
        for j in reversed(range(0 if self.displaced else 1, count)):
            if not self.flow or j == 0:
                assert self.constants.whole is not None
                self.wholes[j] = self.constants.whole(self.radii[j])
            if self.half is not None and self.nodes[j] > self.half[1]:
                b, start = self.half
                slope = self.constants.blocks[b]((self.radii[j] + start) / 2)
                self.lines[j] = {} if slope is None else {b: (self.sigmas[b] - slope * start / 2, slope / 2)}
            else:
                found = {b: self.constants.blocks[b](self.radii[j]) for b in self.sigmas}
                self.lines[j] = {b: (self.sigmas[b], v) for b, v in found.items() if v is not None}
            if not self.lines[j] or self.wholes[j] is None:
                raise RefutedError("refuted: on the claimed ball nothing is proven about the Jacobian")

    def beta(self, j: int) -> Any:
        """‖J‖ on the ball of radius q_j."""
        return self.norm + self.wholes[j] * self.radii[j]

    def regular(self, j: int) -> Any:
        """σ_min on it."""
        return _largest([height - slope * self.radii[j] for height, slope in self.lines[j].values()])

    def best(self, j: int) -> Any:
        """The smallest Λ_* of the blocks that may be the best there."""
        most = self.regular(j)
        found = [slope for height, slope in self.lines[j].values() if not height - slope * self.radii[j] < most]
        least = found[0]
        for v in found[1:]:
            least = least.min(v)
        return least

    def c(self, j: int, at: int, target: Any) -> Any:
        """c at q_j, with the Λ of the ball of radius q_at."""
        beta = self.beta(j)
        return 1 - self.eta * (beta * beta + self.wholes[at] * target) / 2

    def area(self, at: int, target: Any) -> Any:
        """∫ce from q_0 to q_at, once c > 0 and σ_min > 0 are shown up to there."""
        _ask(self.regular(at) > 0, "σ_min > 0 on the ball")
        total = self.radii[0] * 0
        for j in range(1, at + 1):
            _ask(self.c(j, at, target) > 0, "c > 0")
            total = total + _largest([self._cubic(j, at, target, *line) for line in self.lines[j].values()])
        return total

    def _cubic(self, j: int, at: int, target: Any, height: Any, slope: Any) -> Any:
        """With t = q − m, m the middle: c = c₀ − c₁t − c₂t² and e = e₀ − Λ_b t, whose odd powers do not count."""
        middle, half = (self.radii[j - 1] + self.radii[j]) / 2, (self.radii[j] - self.radii[j - 1]) / 2
        beta, steep = self.norm + self.wholes[j] * middle, self.wholes[j]
        start = 1 - self.eta * beta * beta / 2 - self.eta * self.wholes[at] * target / 2
        e = height - slope * middle
        bent = self.eta * steep * beta * slope - self.eta * steep * steep / 2 * e
        return 2 * half * start * e + 2 * half * half * half / 3 * bent


def _largest(values: list[Any]) -> Any:
    found = values[0]
    for v in values[1:]:
        found = found.max(v)
    return found


def _ask(shown: bool, inequality: str) -> None:
    if not shown:
        raise RefutedError(f"refuted: {inequality} could not be proven from the file's hypotheses")
