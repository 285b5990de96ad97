"""The rigorous certificate of a network on data: its numbers, its proof, and the file that another program checks."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .._core import UnsolvedError
from ..systems import AbstractSystem, Iterate
from ..systems.comparison import fitted
from . import file
from .deep import deep_numbers
from .enclosure import Enclosure, Interval, UnboundedError
from .equilibrium import equilibrium_numbers
from .flint import flint
from .gated import gated_numbers
from .implicit import implicit_numbers
from .neural_ode import neural_ode_numbers
from .theorem import Numbers, Proof, claimed, prove
from .two_layer import two_layer_numbers


def _two_layer(iterate: Any) -> Numbers:
    return two_layer_numbers(iterate.model, np.asarray(iterate.x), np.asarray(iterate.y))


def _equilibrium(iterate: Any) -> Numbers:
    return equilibrium_numbers(iterate.model, np.asarray(iterate.x), np.asarray(iterate.y), iterate.solved[:2])


def _implicit(iterate: Any) -> Numbers:
    return implicit_numbers(iterate.model, np.asarray(iterate.x), np.asarray(iterate.y), iterate.solved[:2])


def _gated(iterate: Any) -> Numbers:
    return gated_numbers(iterate.model, np.asarray(iterate.x), np.asarray(iterate.y))


def _neural_ode(iterate: Any) -> Numbers:
    return neural_ode_numbers(iterate.model, np.asarray(iterate.x), np.asarray(iterate.y))


def _deep(iterate: Any) -> Numbers:
    return deep_numbers(iterate.model, np.asarray(iterate.x), np.asarray(iterate.y))


MAKERS: dict[str, Callable[[Any], Numbers]] = {
    "two-layer": _two_layer,
    "equilibrium": _equilibrium,
    "implicit-relu": _implicit,
    "gated": _gated,
    "neural-ode": _neural_ode,
    "dense": _deep,
    "resnet": _deep,
    "conv-resnet": _deep,
}
"""What computes a system's numbers, by the system's name."""

SHRINK = (1 - 1e-9, 1 - 1e-6, 1 - 1e-3, 0.99, 0.9, 0.5)
"""Factors tried on a step size that may be lowered."""


@dataclasses.dataclass(frozen=True)
class RigorousCertificate:
    """A proof, or why there is none, with everything that the file says."""

    system: str
    proof: Proof
    quantities: Mapping[str, Interval]
    options: Mapping[str, Any]
    weights: Mapping[str, np.ndarray]
    comparison: Mapping[str, np.ndarray] | None  # θ_c, where the constants belong to it
    x: np.ndarray
    y: np.ndarray

    @property
    def holds(self) -> bool:
        """Whether everything is proven."""
        return self.proof.verdict == "HOLDS"

    @property
    def theorem(self) -> str:
        """The theorem's id in the file."""
        form = "displacement" if self.comparison is not None else "path" if self.proof.along_path else "block"
        return f"kantorovich-{form}-{self.proof.method}"

    def sentence(self) -> str:
        """What is proven, in words, or what is missing."""
        p = self.proof
        if p.radius is None or p.rate is None:
            return f"silent: {p.reason}" if p.verdict == "FAILS" else p.reason
        return f"proven: {file.conclusion_of(self.theorem, p.step_size, p.radius, p.rate)}"

    def summary(self) -> dict[str, Any]:
        """The object `rigorous` of the command line's JSON."""
        p = self.proof
        return {
            "verdict": p.verdict,
            "theorem": self.theorem,
            "method": p.method,
            "step_size": p.step_size,
            "block": p.block,
            "half": None if p.half is None else {"block": p.half[0], "from": p.half[1]},
            "quantities": {k: [v.lower, v.upper] for k, v in self.quantities.items()},
            "conditions": {k: [v.lower, v.upper] for k, v in p.conditions.items()},
            "radius": p.radius,
            "path": p.path,
            "sigma_star": p.sigma_star,
            "rate": p.rate,
            "statement": self.sentence(),
        }

    def content(self) -> dict[str, Any]:
        """The content of the file, without its hash. **Raises:** `ValueError` unless everything is proven."""
        p = self.proof
        found = (p.ball, p.radius, p.path, p.sigma_star, p.rate)
        if not self.holds or None in found or p.radius is None or p.rate is None:
            raise ValueError(
                f"certificate: nothing is proven, so that there is no certificate to write; {self.sentence()}"
            )
        ball, radius, path, sigma_star, rate = (file.hex_of(v) for v in found if v is not None)
        return {
            "format": file.FORMAT,
            "format_version": file.VERSION,
            "theorem": {"id": self.theorem, "statement": file.THEOREMS[self.theorem]},
            "system": {"name": self.system, "n": len(self.x), "d": self.x.shape[1], "options": dict(self.options)},
            "step_size": None if p.step_size is None else file.hex_of(p.step_size),
            "block": p.block,
            "ball": ball,
            "hypotheses": {
                k: {"meaning": file.meaning_of(k), "interval": [file.hex_of(v.lower), file.hex_of(v.upper)]}
                for k, v in self.quantities.items()
            },
            "half": None if p.half is None else {"block": p.half[0], "from": file.hex_of(p.half[1])},
            "nodes": [file.hex_of(q) for q in p.nodes],
            "witness": {k: [[file.hex_of(v) for v in row] for row in rows] for k, rows in p.witness.items()},
            "conditions": {k: [file.hex_of(v.lower), file.hex_of(v.upper)] for k, v in p.conditions.items()},
            "conclusion": {
                "statement": file.conclusion_of(self.theorem, p.step_size, p.radius, p.rate),
                "radius": radius,
                "path": path,
                "sigma_star": sigma_star,
                "rate": rate,
            },
            "weights": {k: file.fingerprint(v) for k, v in self.weights.items()},
            "comparison": None
            if self.comparison is None
            else {k: file.fingerprint(v) for k, v in self.comparison.items()},
            "data": {"X": file.fingerprint(self.x), "y": file.fingerprint(self.y)},
            "versions": file.versions(),
        }

    def write(self, path: str | Path) -> tuple[Path, ...]:
        """Write the file, and beside it the weights, the data, and in the displacement form θ_c; return these paths.

        **Raises:** `ValueError` unless everything is proven; `OSError` if a file cannot be written.
        """
        content, path = self.content(), Path(path)
        weights, data, comparison = companions(path)
        np.savez(weights, **self.weights)  # pyright: ignore[reportArgumentType]
        np.savez(data, X=self.x, y=self.y)
        if self.comparison is not None:
            np.savez(comparison, **self.comparison)  # pyright: ignore[reportArgumentType]
        file.write(path, content)
        return (weights, data) if self.comparison is None else (weights, data, comparison)


def companions(path: str | Path) -> tuple[Path, Path, Path]:
    """Where `write` puts the weights, the data and the comparison point of a certificate file."""
    path = Path(path)
    weights, data, comparison = (path.with_name(f"{path.stem}.{k}.npz") for k in ("weights", "data", "comparison"))
    return weights, data, comparison


def certify(
    system: AbstractSystem,
    iterate: Iterate,
    step_size: float | None,
    *,
    may_shrink: bool = False,
    compare: bool = True,
) -> RigorousCertificate:
    """The rigorous certificate of a network on its data.

    **Arguments:** `step_size`: η of gradient descent; `None` for gradient flow. `may_shrink`: lower η a little where it is not
    proven at η itself (a step size that was itself computed as the largest). `compare`: where the first form of the theorem is
    not proven, try the displacement form about a point that a few Gauss-Newton steps reach.

    **Returns:** a certificate, whatever the verdict; numbers that leave double precision make it UNDECIDED.

    **Raises:** `ImportError` without python-flint; `ValueError` for a system or activation that has no rigorous mode.

    **Source:** docs/theory/rigorous.md.
    """
    flint()
    if system.name not in MAKERS:
        raise ValueError(f"rigorous mode: one of the systems {', '.join(MAKERS)} expected, {system.name} came")
    method = "flow" if step_size is None else "descent"
    maker = MAKERS[system.name]
    quantities: Mapping[str, Interval] = {}
    options: Mapping[str, Any] = {}
    point = None
    with np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore"):
        try:
            numbers = maker(iterate)
            quantities, options = numbers.quantities, numbers.options
            proof = prove(numbers, method, step_size)
        except (UnboundedError, UnsolvedError) as error:
            reason = f"not proven: {error}"
            proof = Proof("UNDECIDED", reason, method, step_size)
        else:
            if proof.verdict != "HOLDS":
                other = (
                    _displaced(maker, system, iterate, numbers) if compare and numbers.lipschitz is not None else None
                )
                further = numbers.further()
                forms: list[tuple[Any, Numbers]] = [(None, numbers if further is None else further)]
                forms += [] if other is None else [other]
                factors = (1.0, *SHRINK) if may_shrink and step_size is not None else (1.0,)
                for factor, (at, form) in itertools.product(factors, forms):
                    found = prove(form, method, None if step_size is None else factor * step_size)
                    if found.verdict == "HOLDS":
                        proof, quantities = found, form.quantities
                        point = None if at is None else arrays_of(at.model)
                        break
                    if at is None and factor == 1.0:  # what is missing, by the better constants
                        proof, quantities = found, form.quantities
    x, y = np.asarray(iterate.x), np.asarray(iterate.y)
    return RigorousCertificate(system.name, proof, quantities, options, arrays_of(iterate.model), point, x, y)


def arrays_of(model: Any) -> dict[str, np.ndarray]:
    """The arrays of a model by their names in its .npz files."""
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(model, eqx.is_array))
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in leaves}


def _displaced(maker: Any, system: AbstractSystem, iterate: Iterate, start: Numbers) -> tuple[Iterate, Numbers] | None:
    """The point that fits the data better and the numbers there, with ρ₀ of the iterate; `None` where none was found."""
    found = fitted(system, iterate)
    if found is None:
        return None
    point = found[0]
    try:
        numbers = maker(point)
        here, there = arrays_of(iterate.model), arrays_of(point.model)
        parts = [(Enclosure.exact(here[k]) - Enclosure.exact(there[k])).norm() for k in here]
        ends = (Enclosure.exact([getattr(part, end) for part in parts]).norm() for end in ("lower", "upper"))
        lower, upper = ends
        distance = Interval(lower.lower, upper.upper)
    except (UnboundedError, UnsolvedError):
        return None
    rest = {k: v for k, v in numbers.quantities.items() if k != "rho_0"}
    first = {f"{k}_start": start.quantities[k] for k in ("w_norm", "mu") if k in start.quantities}
    moved = {
        "rho_0": start.quantities["rho_0"],
        "rho_c": numbers.quantities["rho_0"],
        **claimed({"distance": distance}),
    }
    return point, dataclasses.replace(numbers, quantities={**moved, **first, **rest})
