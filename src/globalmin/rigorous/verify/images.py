"""Images as rows of pixels for the checker: patches, their transpose, and tangent kernels summed over pixels."""

import itertools
import math
from typing import Any

from .balls import Balls
from .claims import RefutedError


class Images:
    """Patches of `size` pixels a side around each pixel, zeros beyond the border; without a shape nothing is cut.

    **Raises:** `RefutedError` for a shape or size that is none, or that rows of `dimension` numbers do not have.
    """

    def __init__(self, shape: Any, size: Any, dimension: int):
        self.pixels = self.patch_pixels = 1
        self.shifted: list[list[int | None]] = [[0]]
        if shape is None:
            return
        good = isinstance(shape, list) and all(type(s) is int and s > 0 for s in [*shape, size]) and len(shape) > 1
        if not good or size % 2 == 0 or math.prod(shape) != dimension:
            raise RefutedError(f"certificate: images of {dimension} numbers and an odd filter size expected")
        sides, reach = shape[:-1], size // 2
        places = list(itertools.product(*(range(s) for s in sides)))
        number = {place: k for k, place in enumerate(places)}
        steps = list(itertools.product(range(-reach, reach + 1), repeat=len(sides)))
        self.shifted = [
            [number.get(tuple(a + b for a, b in zip(place, step, strict=True))) for step in steps] for place in places
        ]
        self.pixels, self.patch_pixels = len(places), len(steps)

    def cut(self, balls: Balls, a: Any) -> Any:
        """The rows of patches: per channel, its pixels in their order."""
        if self.patch_pixels == 1:
            return a
        rows, zero, found = a.tolist(), balls.arb(0), []
        for start in range(0, len(rows), self.pixels):
            for near in self.shifted:
                for channel in range(a.ncols()):
                    found += [zero if k is None else rows[start + k][channel] for k in near]
        return balls.of(len(rows), a.ncols() * self.patch_pixels, found)

    def back(self, balls: Balls, a: Any) -> Any:
        """The transpose: every entry of a patch is added to the pixel it was cut from."""
        if self.patch_pixels == 1:
            return a
        rows, channels = a.tolist(), a.ncols() // self.patch_pixels
        found = [[balls.arb(0)] * channels for _ in rows]
        for i, row in enumerate(rows):
            start, pixel = i - i % self.pixels, i % self.pixels
            for place, k in enumerate(self.shifted[pixel]):
                if k is not None:
                    for channel in range(channels):
                        found[start + k][channel] += row[channel * self.patch_pixels + place]
        return balls.of(len(rows), channels, [v for row in found for v in row])

    def kernel(self, balls: Balls, left: Any, right: Any, samples: int) -> Any:
        """The Gram matrix of Σ_pixels left ⊗ right; with pixels from the sums themselves, one matrix per sample."""
        if self.pixels == 1:
            return balls.hadamard(balls.product(left, left.transpose()), balls.product(right, right.transpose()))
        lefts, rights, entries = left.tolist(), right.tolist(), []
        for i in range(samples):
            part = slice(i * self.pixels, (i + 1) * self.pixels)
            one, other = (balls.flint.arb_mat(rows[part]) for rows in (lefts, rights))
            entries += balls.product(one.transpose(), other).entries()
        jacobian = balls.of(samples, left.ncols() * right.ncols(), entries)
        return balls.product(jacobian, jacobian.transpose())
