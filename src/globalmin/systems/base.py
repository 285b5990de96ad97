"""A system: one architecture bound to its limit kernel, its theorems and what their proofs watch along a run."""

import math
from abc import abstractmethod
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._core import Estimate, linalg, numerics
from ..activations import AbstractActivation
from ..kernels import AbstractKernel
from ..models import AbstractModel
from ..theory import AbstractCertificate, Kantorovich, Verdict, certify
from ..theory.estimated import UNKNOWN
from ..theory.evaluation import BallBounds
from ..theory.kantorovich import Block, Curvature
from .comparison import displacement, fitted
from .iterate import Iterate


class Limit(eqx.Module):
    """The limit kernels of a system on its data, and the spectrum of the one that the theorems are about."""

    name: str  # which kernel
    matrices: dict[str, np.ndarray]
    eigenvalues: np.ndarray  # ascending
    error: float  # of every eigenvalue

    @property
    def lambda_min(self) -> Estimate:
        """λ₀ of the theorems."""
        return Estimate(float(self.eigenvalues[0]), self.error)

    @property
    def lambda_max(self) -> Estimate:
        """Largest eigenvalue."""
        return Estimate(float(self.eigenvalues[-1]), self.error)


class Question(eqx.Module):
    """What a theorem is asked about: the first iterate, the limit kernel, the step size and the failure probability."""

    start: Iterate = eqx.field(static=True)
    limit: Limit | None  # None: this system has none for its activation
    width: int
    step_size: float  # of descent; for flow the time that an epoch lasts
    delta: float
    label_bound: float
    closest: tuple[float, int, int] | None  # smallest angle between the lines of two rows, and the rows

    @property
    def lambda_0(self) -> Estimate:
        """λ_min of the limit kernel; where there is none, what decides no theorem that asks for it."""
        return UNKNOWN if self.limit is None else self.limit.lambda_min

    @property
    def closest_angle(self) -> Estimate:
        """The smallest angle between the lines of two inputs, π/2 for a single one; Kahan's form is good to a few eps."""
        return Estimate(np.pi / 2 if self.closest is None else self.closest[0], 4 * numerics.EPS)

    @property
    def closest_pair(self) -> tuple[int, int] | None:
        """The rows at that angle."""
        return None if self.closest is None else self.closest[1:]


class MonitorPanel(eqx.Module):
    """One panel of a run's report: a title, the quantities in it with their labels, and whether it is logarithmic."""

    title: str
    quantities: tuple[tuple[str, str], ...]  # (variable of the trajectory, label)
    log: bool = False


class AbstractSystem(eqx.Module):
    """One architecture with its paper. Subclasses are what `globalmin systems` lists."""

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    kernel_name: ClassVar[str]  # the limit kernel whose λ_min the theorems ask for
    limit_of: ClassVar[str] = "lambda_min"  # the monitored quantity that tends to it ...
    limit_power: ClassVar[int] = 0  # ... after division by this power of the width
    kernel_options: ClassVar[tuple[str, ...]] = ()  # of the kernel alone, not of the network
    theorems_listed: ClassVar[tuple[str, ...]]
    figures: ClassVar[tuple[str, ...]] = ()
    row_norm: ClassVar[str]  # the norm of an input row that the theorems assume, "unit" or "sqrt-d"
    options: ClassVar[tuple[str, ...]] = ("activation",)  # the fields a user sets

    activation: eqx.AbstractVar[AbstractActivation]

    @abstractmethod
    def init(self, dimension: int, width: int, *, key: PRNGKeyArray, dtype=jnp.float64) -> AbstractModel:
        """A network with the paper's initialisation."""

    @abstractmethod
    def kernel(self, *, depth: int | None = None, **options: float) -> AbstractKernel:
        """The limit kernel at infinite width; `options` are those of `kernel_options`."""

    @abstractmethod
    def theorems(self, question: Question) -> tuple[AbstractCertificate, ...]:
        """The published theorems about this system, evaluated; printed and corrected."""

    @abstractmethod
    def curvature(self, iterate: Iterate) -> tuple[list[Block], Curvature | None, str]:
        """What the Kantorovich certificate needs: blocks, Λ on a ball, and in words what is missing."""

    @abstractmethod
    def watch(self, iterate: Iterate, start: Iterate) -> dict[str, float]:
        """The quantities of this system's proofs at an iterate, by their trajectory names."""

    def iterate(self, model: AbstractModel, x, y, state=None) -> Iterate:
        """The model on its data, for certificates and monitors."""
        return Iterate(model, x, y, state)

    @property
    def limit_missing(self) -> str:
        """In words, why there is no limit kernel for this activation; "" where there is one.

        Where there is none, `kernel` raises `ValueError`, `limit` is `None`, and everything else goes on without it.
        """
        return ""

    def limit(self, x: Float[Array, "n d"]) -> Limit | None:
        """Limit kernels on the data with the spectrum of the theorems' one; `None` where `limit_missing` says why."""
        if self.limit_missing:
            return None
        kernel = self.kernel()
        matrices = {name: np.asarray(matrix) for name, matrix in kernel(x).items()}
        values, error = linalg.eigenvalues(
            matrices[self.kernel_name], entry_error=kernel.entry_error(x)[self.kernel_name]
        )
        return Limit(self.kernel_name, matrices, values, error)

    def kantorovich(
        self, iterate: Iterate, step_size: float | None, *, width: int, epoch: int = 0
    ) -> tuple[Kantorovich, Kantorovich]:
        """The certificate at an iterate: for gradient descent with that step size, and for gradient flow.

        In its first form where that holds; otherwise, where it has a chance, also about a point that fits the data, and the
        better of the two.
        """
        blocks, curvature, missing = self.curvature(iterate)
        keywords: dict[str, Any] = {"missing": missing, "width": width, "epoch": epoch}
        kinds = ({"step_size": step_size}, {"flow": True})
        descent, flow = (certify(iterate.rho, blocks, curvature, **kind, **keywords) for kind in kinds)
        if curvature is not None and Verdict.FAILS in (descent.outcome, flow.outcome):
            far = displacement(iterate)
            # The displacement form asks for ΛD/σ₀ < 1/2 at the other point; here it is known up to that point's constants.
            hopeful = any(curvature.lipschitz(far) * far < block.sigma.upper for block in blocks)
            other = fitted(self, iterate) if hopeful else None
            if other is not None:
                point, comparison = other
                blocks, curvature, _ = self.curvature(point)
                keywords["comparison"] = comparison
                descent, flow = (
                    _better(first, certify(iterate.rho, blocks, curvature, **kind, **keywords))
                    for first, kind in zip((descent, flow), kinds, strict=True)
                )
        return descent, flow

    def monitor(self, iterate: Iterate, start: Iterate) -> dict[str, float]:
        """Every monitored quantity: the common ones and this system's own."""
        return {
            "loss": iterate.loss,
            "lambda_min": iterate.lambda_min.value,
            "lambda_max": iterate.lambda_max.value,
            "gram_drift": linalg.spectral_norm(iterate.gram - start.gram).value,
            "distance": float(_distance(iterate.model, start.model)),
            **self.watch(iterate, start),
        }

    @property
    def panels(self) -> tuple[MonitorPanel, ...]:
        """What the report of a run draws beside the common figures. Default: nothing."""
        return ()

    def refuse_depth(self, depth: int | None) -> None:
        """Raise `ValueError` if a depth came for a system that has none."""
        if depth is not None:
            raise ValueError(f"depth: none expected, {self.name} has a fixed depth; {depth} came; leave it out")

    def describe(self) -> dict[str, Any]:
        """The system's own settings, for the run's configuration."""
        found: dict[str, Any] = {"system": self.name}
        for option in self.options:
            value = getattr(self, option)
            found[option] = value.name if isinstance(value, AbstractActivation) else value
        return found


@eqx.filter_jit
def _distance(model: AbstractModel, other: AbstractModel) -> Float[Array, ""]:
    """Of all parameters, in the Euclidean norm."""
    pair = (eqx.filter(tree, eqx.is_inexact_array) for tree in (model, other))
    return jnp.sqrt(jax.tree.reduce(jnp.add, jax.tree.map(lambda a, b: jnp.sum((a - b) ** 2), *pair)))


def _better(first: Kantorovich, second: Kantorovich) -> Kantorovich:
    """The one that holds, else the one that misses by less."""

    def rank(found: Kantorovich):
        return (found.outcome is not Verdict.HOLDS, math.inf if found.h is None else found.h)

    return min(first, second, key=rank)


def full_block(iterate: Iterate, lipschitz) -> Block:
    """The whole Jacobian as the block: σ₀² = λ_min(H)."""
    return Block("all trained parameters", iterate.lambda_min.sqrt(), lipschitz)


def full_curvature(iterate: Iterate, bound: BallBounds, source: str) -> Curvature:
    """‖J‖ from λ_max(H), with a proven Λ and bound of ‖J‖ on balls."""
    return Curvature(iterate.lambda_max.sqrt(), bound.lipschitz, source, bound.norm)


def fourth_moment(rows: np.ndarray) -> float:
    """An upper bound of sup over unit v of (Σ_i (x_i·v)⁴)^{1/2}: λ_max of the Hadamard square of X Xᵀ, its root.

    Σ_i (x_iᵀPx_i)² is convex in P ≥ 0 of trace 1, so it is largest at rank one, and there it is at most
    λ_max((XXᵀ)∘(XXᵀ)), the squared norm of the map P ↦ (x_iᵀPx_i)_i. Never above ‖X‖ max‖x_i‖.
    """
    products = rows @ rows.T
    error = 2 * (rows.shape[1] + 1) * numerics.EPS * float(products.diagonal().max()) ** 2
    return linalg.lambda_max(products**2, entry_error=error).sqrt().upper
