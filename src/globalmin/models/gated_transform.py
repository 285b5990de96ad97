"""From a gated network to a ReLU network with the same outputs on the training set, layer by layer, by least squares."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float, PyTree

from .._core import numerics
from .gated import Gated, Rectified

EXACT = 1e-9
"""Relative residual up to which a layer counts as reproduced: what a condition number of 10⁶ leaves in float64."""

KINK = 1e-9
"""A pre-activation this close to 0, relative to the layer's root mean square, is on its kink."""


class Transformed(eqx.Module):
    """The ReLU network, and how well it does: per layer k = 1 … L where there are several numbers."""

    model: Rectified
    ranks: tuple[int, ...]  # of the rectified features A_{k−1} on the training set
    conditions: tuple[float, ...]  # their largest over their smallest singular value that counts
    residuals: tuple[float, ...]  # ‖A_{k−1}W̃_kᵀ − T_k‖_F / ‖T_k‖_F
    norms: tuple[float, ...]  # ‖W̃_k‖_F
    output_error: float  # max |f̃ − f| / max |f| on the training set
    kink_share: float  # of the pre-activations of layers 1 … L − 1 that are on their kinks

    @property
    def exact(self) -> bool:
        """Whether the outputs are the same up to rounding."""
        return max(self.residuals) <= EXACT


def transform(
    model: Gated,
    x: Float[Array, "n d"],
    state: PyTree = None,
    *,
    margin: float = 0.1,
    approximate: bool = False,
) -> Transformed:
    """The ReLU network W̃_k = T_k A_{k−1}⁺ of minimum norm, whose pre-activations on `x` are the gated features T_k.

    There is no ReLU after the last layer (`Rectified.final` is False): with one, the outputs could not be the same.

    **Arguments:**

    - `x`: the training inputs, float64, as the weights; `state`: their patterns if known.
    - `margin`: closed gates get the target −margin · rms(h_k) in place of 0 (layers below the last). The rectified features
      are the same; but at 0, which is the paper's, half of the closed ReLUs would be opened by rounding.
    - `approximate`: take the network also where the outputs cannot be reproduced.

    **Raises:** `ValueError` for other dtypes or a negative margin, and where the outputs differ, unless `approximate`: what
    rank was found in which layer, and by how much the outputs are off.

    **Cost:** a singular value decomposition of an n × m matrix per layer. Nothing is said about other inputs than `x`.

    **Source:** Noy et al. (2021), Theorem 2 and (49), with errata E19-E23.
    """
    x = numerics.check_inputs(x)
    numerics.require_float64("layers", model.layers)
    if not margin >= 0:
        raise ValueError(f"margin: a number of at least 0 expected, {margin} came")
    features, masks = (np.asarray(part) for part in (model.features(x, state), model.masks(x, state)))
    at = features[0]  # A_0 = H_0
    layers, ranks, conditions, residuals, kinks = [], [], [], [], []
    for k, (target, mask) in enumerate(zip(features[1:], masks, strict=True)):
        if k < model.depth - 1:
            target = np.where(mask, target, -margin * np.sqrt(np.mean(target**2)))
        found, _, rank, singular = scipy.linalg.lstsq(at, target, lapack_driver="gelsd")  # pyright: ignore
        before = at @ found
        layers.append(found.T)
        ranks.append(int(rank))
        conditions.append(float(np.max(singular) / singular[rank - 1]) if rank else np.inf)  # pyright: ignore
        residuals.append(float(np.linalg.norm(before - target) / max(np.linalg.norm(target), 1e-300)))
        if k < model.depth - 1:
            kinks.append(np.mean(np.abs(before) <= KINK * np.sqrt(np.mean(before**2))))
        at = np.maximum(before, 0)
    rectified = Rectified(model.first, jnp.asarray(np.array(layers)), model.readout, final=False)
    want, got = np.asarray(model.outputs(x, state)), np.asarray(rectified.outputs(x))
    result = Transformed(
        rectified,
        tuple(ranks),
        tuple(conditions),
        tuple(residuals),
        tuple(float(np.linalg.norm(w)) for w in layers),
        float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-300)),
        float(np.mean(kinks)) if kinks else 0.0,
    )
    if not (result.exact or approximate):
        layer = int(np.argmax(np.array(residuals) > EXACT))
        raise ValueError(
            f"n = {len(x)} samples, m = {model.width}: the same outputs cannot be had; rank {ranks[layer]} of "
            f"{len(x)} found at layer {layer + 1}, outputs off by {result.output_error:.2g} of their size; widen the "
            "network, or pass approximate=True for the least-squares one"
        )
    return result
