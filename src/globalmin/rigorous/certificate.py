"""The rigorous certificate of a network on data: its numbers, its proof, and the file that another program checks."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._core import UnsolvedError
from ..systems import AbstractSystem, Iterate
from . import file
from .enclosure import Interval, UnboundedError
from .equilibrium import equilibrium_numbers
from .flint import flint
from .implicit import implicit_numbers
from .theorem import Numbers, Proof, prove
from .two_layer import two_layer_numbers


def _two_layer(iterate: Any) -> Numbers:
    return two_layer_numbers(iterate.model, np.asarray(iterate.x), np.asarray(iterate.y))


def _equilibrium(iterate: Any) -> Numbers:
    return equilibrium_numbers(iterate.model, np.asarray(iterate.x), np.asarray(iterate.y), iterate.solved[:2])


def _implicit(iterate: Any) -> Numbers:
    return implicit_numbers(iterate.model, np.asarray(iterate.x), np.asarray(iterate.y), iterate.solved[:2])


MAKERS: dict[str, Callable[[Any], Numbers]] = {
    "two-layer": _two_layer,
    "equilibrium": _equilibrium,
    "implicit-relu": _implicit,
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
    x: np.ndarray
    y: np.ndarray

    @property
    def holds(self) -> bool:
        """Whether everything is proven."""
        return self.proof.verdict == "HOLDS"

    @property
    def theorem(self) -> str:
        """The theorem's id in the file."""
        return f"kantorovich-block-{self.proof.method}"

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
            "quantities": {k: [v.lower, v.upper] for k, v in self.quantities.items()},
            "conditions": {k: [v.lower, v.upper] for k, v in p.conditions.items()},
            "radius": p.radius,
            "sigma_star": p.sigma_star,
            "rate": p.rate,
            "statement": self.sentence(),
        }

    def content(self) -> dict[str, Any]:
        """The content of the file, without its hash. **Raises:** `ValueError` unless everything is proven."""
        p = self.proof
        if not self.holds or p.radius is None or p.rate is None or p.sigma_star is None or p.ball is None:
            raise ValueError(
                f"certificate: nothing is proven, so that there is no certificate to write; {self.sentence()}"
            )
        return {
            "format": file.FORMAT,
            "format_version": file.VERSION,
            "theorem": {"id": self.theorem, "statement": file.THEOREMS[self.theorem]},
            "system": {"name": self.system, "n": len(self.x), "d": self.x.shape[1], "options": dict(self.options)},
            "step_size": None if p.step_size is None else file.hex_of(p.step_size),
            "block": p.block,
            "ball": file.hex_of(p.ball),
            "hypotheses": {
                k: {"meaning": file.MEANINGS[k], "interval": [file.hex_of(v.lower), file.hex_of(v.upper)]}
                for k, v in self.quantities.items()
            },
            "witness": {k: [file.hex_of(v) for v in values] for k, values in p.witness.items()},
            "conditions": {k: [file.hex_of(v.lower), file.hex_of(v.upper)] for k, v in p.conditions.items()},
            "conclusion": {
                "statement": file.conclusion_of(self.theorem, p.step_size, p.radius, p.rate),
                "radius": file.hex_of(p.radius),
                "sigma_star": file.hex_of(p.sigma_star),
                "rate": file.hex_of(p.rate),
            },
            "weights": {k: file.fingerprint(v) for k, v in self.weights.items()},
            "data": {"X": file.fingerprint(self.x), "y": file.fingerprint(self.y)},
            "versions": file.versions(),
        }

    def write(self, path: str | Path) -> tuple[Path, Path]:
        """Write the file, and beside it the weights and the data that it is about, and return these two paths.

        **Raises:** `ValueError` unless everything is proven; `OSError` if a file cannot be written.
        """
        content, path = self.content(), Path(path)
        weights, data = companions(path)
        np.savez(weights, **self.weights)  # pyright: ignore[reportArgumentType]
        np.savez(data, X=self.x, y=self.y)
        file.write(path, content)
        return weights, data


def companions(path: str | Path) -> tuple[Path, Path]:
    """Where `write` puts the weights and the data of a certificate file."""
    path = Path(path)
    return path.with_name(f"{path.stem}.weights.npz"), path.with_name(f"{path.stem}.data.npz")


def certify(
    system: AbstractSystem, iterate: Iterate, step_size: float | None, *, may_shrink: bool = False
) -> RigorousCertificate:
    """The rigorous certificate of a network on its data.

    **Arguments:** `step_size`: η of gradient descent; `None` for gradient flow. `may_shrink`: lower η a little where it is not
    proven at η itself (a step size that was itself computed as the largest).

    **Returns:** a certificate, whatever the verdict; numbers that leave double precision make it UNDECIDED.

    **Raises:** `ImportError` without python-flint; `ValueError` for a system or activation that has no rigorous mode.

    **Source:** docs/theory/rigorous.md.
    """
    flint()
    if system.name not in MAKERS:
        raise ValueError(f"rigorous mode: one of the systems {', '.join(MAKERS)} expected, {system.name} came")
    method = "flow" if step_size is None else "descent"
    weights = {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(eqx.filter(iterate.model, eqx.is_array))
    }
    x, y = np.asarray(iterate.x), np.asarray(iterate.y)
    quantities: Mapping[str, Interval] = {}
    options: Mapping[str, Any] = {}
    try:
        with np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore"):
            numbers = MAKERS[system.name](iterate)
            quantities, options = numbers.quantities, numbers.options
            proof = prove(numbers, method, step_size)
            if step_size is not None and may_shrink:
                for factor in SHRINK:
                    if proof.verdict == "HOLDS":
                        break
                    proof = prove(numbers, method, factor * step_size)
    except (UnboundedError, UnsolvedError) as error:
        proof = Proof("UNDECIDED", f"not proven: {error}", method, step_size, None, None, {}, None, None, None, {})
    return RigorousCertificate(system.name, proof, quantities, options, weights, x, y)


def of_model(
    system: AbstractSystem, model: eqx.Module, x: Any, y: Any, step_size: float | None, *, may_shrink: bool = False
) -> RigorousCertificate:
    """`certify` from a model and arrays."""
    return certify(system, system.iterate(model, jnp.asarray(x), jnp.asarray(y)), step_size, may_shrink=may_shrink)  # pyright: ignore
