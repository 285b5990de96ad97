"""Inputs and labels drawn from a seed: the sphere, Gaussian rows, nearly parallel pairs, teachers and noise.

Each function has a stream of random numbers of its own (`dataset.stream`), so one seed may serve inputs and labels.
"""

import math

import numpy as np
from jaxtyping import Float64

from .._core import numerics
from .dataset import normalized, stream


def sphere(n: int, d: int, *, seed: int, radius: float = 1.0) -> Float64[np.ndarray, "n d"]:
    """Rows uniform on the sphere of the given radius in R^d: 1 in Du et al., √d in Ling et al.

    **Raises:** `ValueError` for n or d below 1, or a radius that is not positive.
    """
    if not 0 < radius < math.inf:
        raise ValueError(f"radius: a positive number expected, {radius!r} came")
    return normalized(_normal(n, d, stream(seed, "sphere")), radius)


def gaussian(n: int, d: int, *, seed: int) -> Float64[np.ndarray, "n d"]:
    """Rows with independent N(0, 1) entries, of norm about √d."""
    return _normal(n, d, stream(seed, "gaussian"))


def nearly_parallel(n: int, d: int, *, angle: float, seed: int) -> Float64[np.ndarray, "n d"]:
    """Unit rows in which 2k and 2k + 1 form a pair at `angle` radians; the directions of the pairs are uniform.

    The angle is exact up to rounding of the rows, a few 1e-16 absolute. With n odd the last row stands alone.

    **Raises:** `ValueError` for d < 2 or an angle outside (0, π].
    """
    numerics.check_count("n", n)
    numerics.check_count("d", d, least=2)
    if not 0 < angle <= math.pi:
        raise ValueError(f"angle: radians in (0, π] expected, {angle!r} came")
    rng = stream(seed, "nearly parallel")
    pairs = (n + 1) // 2
    first = normalized(_normal(pairs, d, rng), 1.0)
    other = _normal(pairs, d, rng)
    # Twice: what rounding leaves along `first` after one projection is removed by the second.
    for _ in range(2):
        other = normalized(other - np.sum(other * first, axis=1, keepdims=True) * first, 1.0)
    second = math.cos(angle) * first + math.sin(angle) * other
    return np.stack([first, second], axis=1).reshape(2 * pairs, d)[:n]


def normal_labels(n: int, *, seed: int) -> Float64[np.ndarray, " n"]:
    """Labels N(0, 1), independent of the inputs, as in the synthetic experiments of Du et al. and Ling et al."""
    numerics.check_count("n", n)
    return stream(seed, "normal labels").standard_normal(n)


def sign_labels(n: int, *, seed: int) -> Float64[np.ndarray, " n"]:
    """Labels uniform on {−1, +1}, independent of the inputs."""
    numerics.check_count("n", n)
    return 2.0 * stream(seed, "sign labels").integers(0, 2, n) - 1.0


def teacher_labels(x: Float64[np.ndarray, "n d"], *, seed: int, width: int = 8) -> Float64[np.ndarray, " n"]:
    """Labels of a random two-layer ReLU teacher y = k^{-1/2} Σ_r a_r max(w_rᵀx, 0), w_r ~ N(0, I), a_r = ±1.

    The scaling is that of the student `models.TwoLayer`: a label of a unit row has variance 1/2 over the teachers.
    """
    numerics.check_count("width", width)
    rng = stream(seed, "teacher")
    w = rng.standard_normal((width, x.shape[1]))
    a = 2.0 * rng.integers(0, 2, width) - 1.0
    return np.maximum(x @ w.T, 0.0) @ a / math.sqrt(width)


def ackley_labels(x: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, " n"]:
    """y_i = Σ_j x_{i,d−1−j} (log|x_ij| (cos x_ij + x_ij³ sin x_ij) + √|x_ij|), j from 0: the Ackley-type labels of Noy et al.

    As printed there the first index starts at d − 1 and ends at 0 with d′ from 1 to d, out of range, and x³ has no index.
    """
    size = np.abs(x)
    if not size.all():
        raise ValueError(
            "ackley labels: inputs without zero entries expected, zeros came; take the gaussian or sphere data"
        )
    terms = np.log(size) * (np.cos(x) + x**3 * np.sin(x)) + np.sqrt(size)
    return np.sum(x[:, ::-1] * terms, axis=1)


def _normal(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    numerics.check_count("n", n)
    numerics.check_count("d", d)
    return rng.standard_normal((n, d))
