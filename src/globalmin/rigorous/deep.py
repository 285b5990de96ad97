"""The deep networks' numbers, enclosed: x_h = s x_{h−1} + κ_h σ(W_h φ(x_{h−1})), f = ⟨a, x_H⟩, all of it trained.

Fully connected, residual and convolutional: rows are samples, or the pixels of one sample after the other. With δ_h = ∂f/∂p_h,
p_h = W_h z_h and z_h = φ(x_{h−1}) a layer's share of the tangent kernel is Σ_pixels (δδᵀ)∘(zzᵀ). Λ is in deep_bound.py.
"""

import itertools
from typing import Any

import numpy as np

from ..models import ConvResNet
from ..models.deep import AbstractDeep
from .deep_bound import DeepBound
from .elementwise import Elementwise
from .enclosure import Enclosure, Interval, gamma, grow
from .flint import PRECISION, precision
from .rows import Rows
from .spectrum import extreme_eigenvalues, lambda_max, lambda_min, operator_norm, root
from .theorem import Numbers, RigorousBlock, claimed


def deep_numbers(model: AbstractDeep, x: np.ndarray, y: np.ndarray) -> Numbers:
    """Intervals of ρ₀, of both blocks' λ_min, of ‖J‖² and of what Λ rests on.

    **Raises:** `UnboundedError` for numbers beyond double precision; `ValueError` for an activation without formulas.
    """
    phi = Elementwise(model.activation.name)
    options: dict[str, Any] = {"activation": phi.name, "c_sigma": float(model.c_sigma).hex()}
    if model.skip:
        options["c_res"] = float(getattr(model, "c_res")).hex()  # noqa: B009  # of the residual ones only
    if isinstance(model, ConvResNet):
        options |= {"image_shape": list(model.image_shape), "filter_size": model.filter_size}
    if phi.bend is None or phi.third is None:
        missing = f"{phi.name} has no finite sup|φ″| or sup|φ‴|: no block of this network has a bound"
        return Numbers({}, (), None, options, missing)
    n, images = len(x), _Images(model)
    with precision(PRECISION) as flint:
        balls = kappas(flint, model)
        scales = [Enclosure.ball(b) for b in balls]
    weights = [Enclosure.exact(w) for w in (model.first, *model.hidden)]
    norms = [operator_norm(w) for w in weights]
    state = Rows.exact(np.asarray(x).reshape(n * images.pixels, -1))
    inputs, before = [], []
    for h, (w, norm, scale) in enumerate(zip(weights, norms, scales, strict=True)):
        inputs.append(images.patches(state))
        before.append(inputs[h].times(w, norm.upper))
        branch = before[h].through(phi).scaled(scale)
        state = state + branch if model.skip and h > 0 else branch
    readout = Enclosure.exact(np.asarray(model.readout))
    last = Rows(state.mid.reshape(n, -1), Enclosure.exact(state.off.reshape(n, -1)).row_norms_upper())
    gram = last.gram()
    quantities: dict[str, Interval] = {
        "rho_0": (last.dot(Enclosure.exact(readout.mid.ravel())) - Enclosure.exact(y)).norm(),
        "lambda_min_readout": lambda_min(gram),
    }
    g = Rows.exact(np.tile(readout.mid.reshape(images.pixels, -1), (n, 1)))
    for h in reversed(range(len(weights))):
        slopes = before[h].through(phi, 1)
        left = slopes.hadamard(g).scaled(scales[h])
        gram = gram + _over_pixels(left, inputs[h], n)
        quantities |= _layer(h + 1, weights[h], norms[h], inputs[h], slopes, left, g, n)
        quantities[f"bent_max@{h + 1}"] = g.hadamard(before[h].through(phi, 2)).largest()
        if h > 0:
            back = images.fold(left.times(weights[h].T, norms[h].upper))
            g = g + back if model.skip else back
    low, high = extreme_eigenvalues(gram)
    quantities = claimed({**quantities, "lambda_min_all": low, "lambda_max": high})
    bound = DeepBound(
        upper={k: q.upper for k, q in quantities.items()},
        suprema=phi.suprema,
        skip=model.skip,
        patch_pixels=images.patch_pixels,
        samples=n,
        kappas=lambda flint: kappas(flint, model),
        depth=len(weights),
    )
    blocks = RigorousBlock("all", bound.whole), RigorousBlock("readout", bound.readout, apart=True)
    return Numbers(quantities, blocks, bound.whole, options)


def kappas(flint: Any, model: AbstractDeep) -> list[Any]:
    """κ_1, …, κ_H as balls: √(c_σ/m), and for residual networks c_res/(H√m) from layer 2 on."""
    root_m, rest = flint.arb(model.width).sqrt(), model.depth - 1
    first = flint.arb(float(model.c_sigma)).sqrt() / root_m
    c_res = getattr(model, "c_res", None)
    return [first, *[first if c_res is None else flint.arb(float(c_res)) / (model.depth * root_m)] * rest]


def _layer(
    h: int, w: Enclosure, norm: Interval, z: Rows, slopes: Rows, left: Rows, g: Rows, n: int
) -> dict[str, Interval]:
    """One layer's numbers, as theory/curvature/deep.py names them."""
    # Entry by entry the largest slope of any row.
    entries = slopes.enclosure()
    least, most = entries.mignitude().max(axis=0), entries.magnitude().max(axis=0)
    middle = (least + most) / 2
    steepest = Enclosure(middle, grow(np.maximum(most - middle, middle - least), 4))
    found = {
        "weight_norm": norm,
        "weight_row": w.row_norm(),
        "sloped_norm": operator_norm(Enclosure(steepest.mid[:, None], steepest.rad[:, None]) * w),
        "slope_max": slopes.largest(),
        "input_norm": z.norm(),
        "input_max": z.group_norm(n),
        "input_row": z.row_norm(),
        "left_norm": left.norm(),
        "left_max": left.group_norm(n),
        "cotangent_max": g.largest(),
    }
    if len(z.mid) == n:  # over pixels the product of two norms serves
        products = z.gram()
        found["input_fourth"] = root(lambda_max(products * products))
    return {f"{k}@{h}": v for k, v in found.items()}


def _over_pixels(left: Rows, right: Rows, n: int) -> Enclosure:
    """The Gram matrix of Σ_pixels left ⊗ right, sample by sample."""
    pixels = len(left.mid) // n
    if pixels == 1:
        return left.gram() * right.gram()
    mid, rad = np.zeros((n, n)), np.zeros((n, n))
    for i in range(n):
        part = slice(i * pixels, (i + 1) * pixels)
        share = Rows(left.mid[part], left.off[part]).product(left)
        share = share * Rows(right.mid[part], right.off[part]).product(right)
        blocks, radii, sizes = (a.reshape(pixels, n, pixels) for a in (share.mid, share.rad, np.abs(share.mid)))
        mid[i] = blocks.sum(axis=(0, 2))
        count = pixels * pixels
        rad[i] = grow(radii.sum(axis=(0, 2)) + gamma(count) * sizes.sum(axis=(0, 2)), 2 * count)
    return Enclosure(mid, rad)


class _Images:
    """φ and φᵀ on rows of pixels; both the identity where there are none."""

    def __init__(self, model: AbstractDeep):
        self.near: np.ndarray | None = None
        self.pixels = self.patch_pixels = 1
        if isinstance(model, ConvResNet):
            sides, size = model.image_shape[:-1], model.filter_size
            self.pixels, self.patch_pixels = int(np.prod(sides)), size ** len(sides)
            grid = np.pad(np.arange(self.pixels).reshape(sides), size // 2, constant_values=self.pixels)
            shifts = itertools.product(range(size), repeat=len(sides))
            cut = [grid[tuple(slice(o, o + s) for o, s in zip(shift, sides, strict=True))].ravel() for shift in shifts]
            self.near = np.stack(
                cut, axis=1
            )  # the pixels of each patch; `pixels` stands for the zeros beyond the border

    def patches(self, a: Rows) -> Rows:
        """The patch of each pixel, channel by channel."""
        if self.near is None:
            return a
        mid, off = self._with_border(a)
        cut = mid[:, self.near].transpose(0, 1, 3, 2).reshape(len(a.mid), -1)
        lengths = Enclosure.exact(off[:, self.near].reshape(len(a.mid), -1)).row_norms_upper()
        return Rows(cut, lengths)

    def fold(self, a: Rows) -> Rows:
        """The transpose: entry o of the patch around the pixel at the opposite shift comes back to this one."""
        if self.near is None:
            return a
        q = self.patch_pixels
        mid, off = self._with_border(a)
        mid = mid.reshape(*mid.shape[:2], -1, q)
        parts = np.stack([mid[..., o][:, self.near[:, q - 1 - o]] for o in range(q)])
        lost = np.stack([off[:, self.near[:, q - 1 - o]] for o in range(q)]).sum(axis=0).reshape(-1)
        total = parts.sum(axis=0).reshape(len(a.mid), -1)
        rounding = grow(gamma(q) * np.abs(parts).sum(axis=0).reshape(total.shape), q + 1)
        return Rows.of(Enclosure(total, rounding), grow(lost, q))

    def _with_border(self, a: Rows) -> tuple[np.ndarray, np.ndarray]:
        mid = a.mid.reshape(-1, self.pixels, a.mid.shape[1])
        off = a.off.reshape(-1, self.pixels)
        return np.pad(mid, ((0, 0), (0, 1), (0, 0))), np.pad(off, ((0, 0), (0, 1)))
