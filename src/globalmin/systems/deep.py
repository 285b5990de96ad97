"""What the deep networks' systems share: one forward and one backward pass, the constants measured on it, the monitors."""

import math
from abc import abstractmethod
from functools import cached_property
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .. import gram
from .._core import Estimate, linalg, numerics
from ..activations import AbstractActivation, Covariance
from ..models import AbstractDeep, Passes, TangentBlock, TangentStack
from ..theory import AbstractCertificate, du2019_deep
from ..theory.curvature import DeepCurvature
from ..theory.kantorovich import Block, Curvature
from .base import AbstractSystem, MonitorPanel, Question, fourth_moment, full_block, full_curvature
from .iterate import Iterate

SHOWN = 6
"""Layers whose movement is drawn; every layer's is recorded."""


class Layer:
    """What the theory measures of one layer, h = 1 ... H, from above where it is a norm."""

    def __init__(self, iterate: "DeepIterate", h: int):
        model, passes, phi = iterate.model, iterate.passes, iterate.model.activation
        first = h == 1
        self.weight = np.asarray(model.first if first else model.hidden[h - 2])
        before = passes.first if first else passes.preactivations[h - 2]
        block = iterate.layer_block(h)
        n, m = len(before), self.weight.shape[0]
        left, rows = (
            np.asarray(block.left).reshape(n, -1, m),
            np.asarray(block.right).reshape(n, -1, self.weight.shape[1]),
        )
        slopes = np.abs(np.asarray(phi.derivative(before))).reshape(-1, m)
        bends = np.asarray(phi.second_derivative(before)).reshape(-1, m)
        g = np.asarray(passes.first_cotangent if first else passes.cotangents[h - 2]).reshape(-1, m)
        self.weight_norm = linalg.spectral_norm(self.weight).upper
        self.weight_row = float(np.linalg.norm(self.weight, axis=1).max())
        self.sloped_norm = linalg.spectral_norm(slopes.max(axis=0)[:, None] * self.weight).upper
        self.slope_max = float(slopes.max())
        self.input_norm = linalg.spectral_norm(rows.reshape(-1, rows.shape[2])).upper
        self.input_max = float(np.linalg.norm(rows, axis=(1, 2)).max())
        self.input_row = float(np.linalg.norm(rows, axis=2).max())
        # Over pixels the exact form costs n²p² products; the largest image times the norm of all is what it is below.
        self.input_fourth = fourth_moment(rows[:, 0]) if rows.shape[1] == 1 else self.input_max * self.input_norm
        self.left_norm = linalg.spectral_norm(left.reshape(-1, m)).upper
        self.left_max = float(np.linalg.norm(left, axis=(1, 2)).max())
        self.cotangent_max = float(np.abs(g).max())
        self.bent_max = float(np.abs(g * bends).max())


class DeepIterate(Iterate):
    """An iterate of a deep network: one pass forward and one back serve outputs, Gram matrices and certificates."""

    model: AbstractDeep

    @cached_property
    def passes(self) -> Passes:
        """States, pre-activations and gradients of every layer."""
        return self.model.passes(self.x)

    @cached_property
    def outputs(self) -> np.ndarray:
        """u = f(X)."""
        return np.asarray(self.passes.last).reshape(len(self.x), -1) @ np.asarray(self.model.readout).ravel()

    @cached_property
    def blocks(self) -> dict[str, TangentBlock | TangentStack]:
        """ "layer 1", "hidden" (the stack of the layers 2 ... H) and "readout"."""
        return _factors(self.model, self.passes)

    def layer_block(self, h: int) -> TangentBlock:
        """The tangent block of layer h."""
        block = self.blocks["layer 1" if h == 1 else "hidden"]
        return TangentBlock(block.left[h - 2], block.right[h - 2]) if isinstance(block, TangentStack) else block

    def layer_gram(self, h: int) -> np.ndarray:
        """G^(h)."""
        return np.asarray(gram.grams_of({"": self.layer_block(h)})[""])

    @cached_property
    def top(self) -> np.ndarray:
        """G^(H), the share of the last hidden layer: the one that the theorems are about."""
        return self.layer_gram(self.model.depth)

    @cached_property
    def top_error(self) -> float:
        """Bound on the error of an entry of G^(H)."""
        return float(gram.entry_error(self.layer_block(self.model.depth), self.solve_error))

    @cached_property
    def top_lambda_min(self) -> Estimate:
        """λ_min(G^(H))."""
        return linalg.lambda_min(self.top, entry_error=self.top_error)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers' numbers."""
        return tuple(Layer(self, h) for h in range(1, self.model.depth + 1))

    @cached_property
    def states(self) -> np.ndarray:
        """x_i^(h) as (H, n, pixels · m)."""
        passes, n = self.passes, len(self.x)
        last = np.asarray(passes.last).reshape(1, n, -1)
        return np.concatenate([np.asarray(passes.inputs).reshape(-1, *last.shape[1:]), last])

    @property
    def solve_error(self) -> float:
        """Bound on the relative error of states and left factors from rounding on the way, to first order."""
        return self._rounding

    @cached_property
    def _rounding(self) -> float:
        """Carried from layer to layer.

        A product with fan-in k is off by k eps ‖W‖_F‖z‖, an activation by 8 eps of itself; what arises is carried on with
        the norms of the layers that follow, forward for the states and backward for the gradients.
        """
        model, eps = self.model, numerics.EPS
        scales, root_q, lipschitz = scales_of(model), patch_norm(model), model.activation.lipschitz or 1.0
        sizes = np.linalg.norm(self.states, axis=2).max(axis=1)
        state, before, relative = 0.0, [], 0.0
        for h, (layer, scale) in enumerate(zip(self.layers, scales, strict=True)):
            skip = model.skip and h > 0
            relative = max(relative, root_q * state / layer.input_max)
            product = layer.weight.shape[1] * eps * float(np.linalg.norm(layer.weight)) * layer.input_max
            before.append(root_q * layer.weight_norm * state + product)
            through = skip + scale * root_q * layer.sloped_norm
            rounding = 8 * eps * (sizes[h] + (sizes[h - 1] if skip else 0.0))
            state = through * state + scale * lipschitz * product + rounding
        relative = max(relative, state / sizes[-1])
        cotangent = 0.0
        for h, (layer, scale) in reversed(list(enumerate(zip(self.layers, scales, strict=True)))):
            bent = scale * layer.bent_max * before[h] + 8 * eps * layer.left_max
            relative = max(relative, (scale * layer.slope_max * cotangent + bent) / layer.left_max)
            product = layer.weight.shape[0] * eps * float(np.linalg.norm(layer.weight)) * layer.left_max
            through = (model.skip and h > 0) + scale * root_q * layer.sloped_norm
            cotangent = through * cotangent + root_q * (layer.weight_norm * bent + product)
        return float(relative + self.states.shape[2] * eps)


class AbstractDeepSystem(AbstractSystem):
    """A deep smooth network of chapter 3; the three differ in the model, the kernel and the theorem."""

    paper: ClassVar[str] = "Du, Lee, Li, Wang, Zhai, ICML 2019; Du, thesis CMU-ML-19-102, chapter 3"
    kernel_name: ClassVar[str] = "k_h"
    limit_of: ClassVar[str] = "lambda_min_top"
    figures: ClassVar[tuple[str, ...]] = ("du2019-ch3",)
    row_norm: ClassVar[str] = "unit"

    depth: eqx.AbstractVar[int]

    def iterate(self, model: AbstractDeep, x, y, state=None) -> DeepIterate:  # pyright: ignore
        """The model on its data."""
        return DeepIterate(model, x, y, state)

    @abstractmethod
    def main_theorems(self, start: du2019_deep.Start, question: Question) -> tuple[AbstractCertificate, ...]:
        """This architecture's own theorem and lemmas."""

    def theorems(self, question: Question) -> tuple[AbstractCertificate, ...]:
        """The theorem with explicit constants and as printed, and the lemmas on the initialisation."""
        first = question.start
        assert isinstance(first, DeepIterate)
        assert question.limit is not None
        model, n = first.model, len(first.x)
        limit = question.limit.matrices[self.kernel_name]
        gap = linalg.spectral_norm(first.top - limit)
        # ‖K^(H)‖'s entries are off by error/n at most: that is how the spectrum's error was made.
        gap = Estimate(gap.value, gap.error + n * first.top_error + question.limit.error)
        readout = np.asarray(model.readout)
        size, sizes = readout.size, np.linalg.norm(first.states, axis=2)
        weights = [layer.weight_norm for layer in first.layers]
        rounding, bound = first.solve_error, self.bound(first)
        start = du2019_deep.Start(
            activation=smooth(self.activation),
            n=n,
            width=question.width,
            depth=self.depth,
            delta=question.delta,
            lambda_0=question.lambda_0,
            gram_gap=gap,
            residual_0=first.rho,
            weight_norm=Estimate(max(weights) / math.sqrt(model.width)),
            readout_2=float(np.linalg.norm(readout)) / math.sqrt(size),
            readout_4=float((readout**4).sum() ** 0.25) / size**0.25,
            state_min=Estimate(float(sizes.min()), rounding * float(sizes.max())),
            state_max=Estimate(float(sizes.max()), rounding * float(sizes.max())),
            jacobian_norm=first.lambda_max.sqrt(),
            lipschitz=lambda radius: bound.lipschitz(radius),
            norm_deviation=float(np.abs(np.linalg.norm(np.asarray(first.x), axis=1) - 1).max()),
            **self.sizes(),
        )
        printed = du2019_deep.InitialGramPrinted(
            n, question.width, self.depth, question.delta, question.lambda_0, not model.skip, start.pixels
        )
        measured = du2019_deep.InitialGramMeasured(gap, question.lambda_0)
        return (*self.main_theorems(start, question), measured, printed)

    def sizes(self) -> dict[str, Any]:
        """The fields of `du2019_deep.Start` that only some architectures have."""
        return {}

    def bound(self, iterate: DeepIterate) -> DeepCurvature:
        """Λ on balls around the iterate, from its layers' numbers, with their rounding."""
        model, phi = iterate.model, self.activation
        assert phi.lipschitz is not None
        assert phi.curvature is not None
        above = 1 + 4 * iterate.solve_error
        names = (
            "weight_norm", "weight_row", "sloped_norm", "slope_max", "input_norm", "input_max", "input_row",
            "input_fourth", "left_norm", "left_max", "cotangent_max", "bent_max",
        )  # fmt: skip
        rows: dict[str, Any] = {k: above * np.array([getattr(layer, k) for layer in iterate.layers]) for k in names}
        return DeepCurvature(
            slope=phi.lipschitz,
            bend=phi.curvature,
            third=math.inf if phi.third is None else phi.third,
            skip=model.skip,
            patch_norm=patch_norm(model),
            samples=len(iterate.x),
            scales=scales_of(model),
            features_norm=above
            * linalg.spectral_norm(np.asarray(iterate.states[-1]).reshape(len(iterate.x), -1)).upper,
            **rows,
        )

    def curvature(self, iterate: DeepIterate) -> tuple[list[Block], Curvature | None, str]:  # pyright: ignore
        """Blocks: all of J, and the read-out's features x^(H) alone."""
        bound = self.bound(iterate)
        features = Block(
            "the read-out's features x^(H)",
            iterate.block_lambda_min("readout").sqrt(),
            bound.features_lipschitz,
            apart=True,
        )
        source = "Λ from the second derivative, layer by layer"
        return [full_block(iterate, bound.lipschitz), features], full_curvature(iterate, bound, source), ""

    def watch(self, iterate: DeepIterate, start: DeepIterate) -> dict[str, float]:  # pyright: ignore
        """λ_min and drift of G^(H), movement of every weight over √m, sizes and movement of the states, gradients by block."""
        model, first = iterate.model, start.model
        root = math.sqrt(model.width)
        moved = [jnp.linalg.norm(model.first - first.first), *jnp.linalg.norm(model.hidden - first.hidden, axis=(1, 2))]
        movement = {f"movement_layer_{h}": float(d) / root for h, d in enumerate(moved, start=1)}
        movement["movement_readout"] = float(jnp.linalg.norm(model.readout - first.readout)) / root
        sizes = np.linalg.norm(iterate.states, axis=2)
        return {
            "lambda_min_top": iterate.top_lambda_min.value,
            "lambda_min_top_error": iterate.top_lambda_min.error,
            "top_drift": linalg.spectral_norm(iterate.top - start.top).value,
            "layer_movement": max(movement.values()),
            **movement,
            "weight_norm": max(layer.weight_norm for layer in iterate.layers) / root,
            "state_min": float(sizes.min()),
            "state_max": float(sizes.max()),
            "state_drift": float(np.linalg.norm(iterate.states - start.states, axis=2).max()),
            **self.gradients(iterate),
        }

    def gradients(self, iterate: DeepIterate) -> dict[str, float]:
        """‖∂L/∂W^(1)‖, H‖∂L/∂W^(H)‖ and ‖∂L/∂a‖ over √n‖r‖: each squared is rᵀG^(h)r over n‖r‖²."""
        r, depth = iterate.residual, iterate.model.depth
        grams = {
            "gradient_layer_1": iterate.layer_gram(1),
            "gradient_top_times_depth": iterate.top * depth**2,
            "gradient_readout": iterate.block_grams["readout"],
        }
        scale = len(r) * max(float(r @ r), np.finfo(float).tiny)
        return {name: math.sqrt(max(float(r @ g @ r), 0.0) / scale) for name, g in grams.items()}

    @property
    def panels(self) -> tuple[MonitorPanel, ...]:
        """What the report draws beside the common figures."""
        most = sorted({1, *np.linspace(1, self.depth, min(SHOWN, self.depth)).round().astype(int).tolist()})
        layers = tuple((f"movement_layer_{h}", f"W^({h})") for h in most)
        return (
            MonitorPanel("movement over √m, by weight", (*layers, ("movement_readout", "a"))),
            MonitorPanel("drift of the last layer's Gram", (("top_drift", "‖G^(H)(k) − G^(H)(0)‖"),)),
            MonitorPanel(
                "states x_i^(h): norms, movement",
                (("state_max", "largest"), ("state_min", "smallest"), ("state_drift", "movement")),
            ),
            MonitorPanel(
                "gradients over √n‖r‖",
                (
                    ("gradient_readout", "a"),
                    ("gradient_layer_1", "W^(1)"),
                    ("gradient_top_times_depth", "H · W^(H)"),
                ),
            ),
        )


def check_smooth(activation: AbstractActivation) -> None:
    """Raise `ValueError` unless Conditions 3.1 and 3.2 hold, and say which constant fails."""
    failed = []
    if activation.lipschitz is None:
        failed.append("sup|σ′| is not finite (Condition 3.1)")
    if activation.curvature is None:
        failed.append("sup|σ″| is not finite (Condition 3.1)")
    if activation.kinks:
        at = ", ".join(f"{kink:g}" for kink in activation.kinks)
        failed.append(f"it is not analytic, with a kink at {at} (Condition 3.2)")
    if activation.polynomial_degree is not None:
        failed.append(f"it is a polynomial of degree {activation.polynomial_degree} (Condition 3.2)")
    if failed:
        raise ValueError(
            f"activation: σ and σ′ Lipschitz, σ analytic and no polynomial expected, {activation.name} came: "
            f"{'; '.join(failed)}; take softplus, tanh, erf, sin or gelu"
        )


def smooth(activation: AbstractActivation) -> du2019_deep.Smooth:
    """The activation as the theorems see it."""
    return du2019_deep.Smooth(
        name=activation.name,
        sigma_0=activation.phi0,
        lipschitz=math.inf if activation.lipschitz is None else activation.lipschitz,
        smoothness=math.inf if activation.curvature is None else activation.curvature,
        analytic=not activation.kinks,
        polynomial=activation.polynomial_degree is not None,
        c_sigma=activation.c_sigma,
    )


def residual_kappa(activation: AbstractActivation, angle: Estimate) -> Estimate:
    """κ₁ = c_σ(Var σ(u) − Cov(σ(u), σ(v))) for u, v ~ N(0, 1) at the smallest angle between the lines of two unit inputs.

    The covariance is Σ_k a_k² cos^k over k ≥ 1, so |Cov| is largest at the largest |cos|, and there positive: a lower bound
    where the closest two are nearly opposite.
    """
    one = jnp.ones(())

    def gap(theta: float) -> float:
        same = activation.dual(Covariance(one, one, jnp.zeros(())))
        return float(same - activation.dual(Covariance(one, one, jnp.asarray(theta))))

    # E σ(u)² − E σ(u)σ(v): the squared means cancel.
    ends = [activation.c_sigma * gap(max(theta, 0.0)) for theta in (angle.value, angle.lower)]
    rounding = 2 * activation.c_sigma * activation.dual_error(one)
    return Estimate(ends[0], abs(ends[0] - ends[1]) + rounding)


def scales_of(model: AbstractDeep) -> np.ndarray:
    """κ_1, κ, ..., κ."""
    return np.array([model.first_scale] + [model.scale] * (model.depth - 1))


def patch_norm(model: AbstractDeep) -> float:
    """√q, at least the norm of the patch map."""
    return math.sqrt(model.first.shape[1] // model.input_channels)


@eqx.filter_jit
def _factors(model, passes):
    return model.factors(passes)
