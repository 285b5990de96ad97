"""Deep kernels once more: loops over pairs, Gauss-Hermite quadrature and the definitions, sharing nothing with the library."""

import numpy as np
from scipy.special import erf, expit

X3 = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [2 / 3, -1 / 3, 2 / 3]])
# φ and φ′ written down once more.
FUNCTIONS = {
    "erf": (erf, lambda z: 2 / np.sqrt(np.pi) * np.exp(-z * z)),
    "sin": (np.sin, np.cos),
    "softplus": (lambda z: np.logaddexp(0, z), expit),
    "cos": (np.cos, lambda z: -np.sin(z)),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z >= 0) * 1.0),
}
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def expect(f, g, p, q, c):
    """E[f(u)g(v)], elementwise over arrays of covariances; 80 nodes."""
    p, q, c = np.broadcast_arrays(*(np.asarray(a, float)[..., None, None] for a in (p, q, c)))
    root = np.sqrt(np.where(p > 0, p, 1))
    u = np.sqrt(p) * NODES[:, None]
    v = c / root * NODES[:, None] + np.sqrt(np.maximum(q - (c / root) ** 2, 0)) * NODES[None, :]
    return np.sum(WEIGHTS[:, None] * WEIGHTS[None, :] * f(u) * g(v), axis=(-2, -1))


def rectified(_, __, p, q, c):
    """For ReLU, whose kink defeats quadrature: the arc-cosine kernels from arccos, good to 1e-8 near parallel pairs."""
    scale = np.sqrt(p * q)
    theta = np.arccos(np.clip(c / np.where(scale > 0, scale, 1), -1, 1))
    return {
        "dual": scale / (2 * np.pi) * (np.sin(theta) + (np.pi - theta) * np.cos(theta)),
        "slope": (np.pi - theta) / (2 * np.pi),
    }


def duals(name, k):
    """E[φφ], E[φ′φ′] for the matrix of covariances `k`, and E φ for its diagonal; any shape (N, N)."""
    phi, slope = FUNCTIONS[name]
    p, q = np.diag(k)[:, None], np.diag(k)[None, :]
    mean = np.sum(WEIGHTS * phi(np.sqrt(np.diag(k))[:, None] * NODES), axis=1)
    if name == "relu":
        found = rectified(phi, slope, p, q, k)
        return found["dual"], found["slope"], np.sqrt(np.diag(k) / (2 * np.pi))
    return expect(phi, phi, p, q, k), expect(slope, slope, p, q, k), mean


def c_sigma(name):
    if name == "relu":
        return 2.0
    return 1 / np.sum(WEIGHTS * FUNCTIONS[name][0](NODES) ** 2)


def windows(sides, size):
    """M with (Mx)_l = Σ_o x_{l+o} kept apart by offset: a list of 0-1 matrices, one per offset, pixels × pixels."""
    pixels = list(np.ndindex(*sides))
    found = []
    for offset in np.ndindex(*(size,) * len(sides)):
        shift = np.zeros((len(pixels), len(pixels)))
        for row, pixel in enumerate(pixels):
            target = tuple(np.add(pixel, offset) - size // 2)
            if target in pixels:
                shift[row, pixels.index(target)] = 1
        found.append(shift)
    return found


def lifted(x, shape, size):
    """Pixel-pair Gram of the images' patches, all pairs at once, and the linear map that sums over windows."""
    *sides, channels = shape
    shifts = windows(sides, size)
    images = x.reshape(len(x), -1, channels)
    big = [np.kron(np.eye(len(x)), s) for s in shifts]

    def patch(k):
        return np.sum([b @ k @ b.T for b in big], axis=0)

    flat = images.reshape(-1, channels)
    return flat @ flat.T, patch


def plain(name, k, depth, s2, b2, patch=lambda k: k):
    """NNGP, last layer's kernel and NTK at the pixels after φ of layer `depth`, without the read-out; k: C^(1)."""
    tangent = k.copy()
    for _ in range(depth - 1):
        dual, slope, _ = duals(name, k)
        k = s2 * patch(dual) + b2
        tangent = s2 * patch(slope * tangent) + k
    dual, slope, _ = duals(name, k)
    return dual, slope * k, slope * tangent


def residual(name, p_0, depth, c_res, patch=lambda k: k):
    """S^(H), the last layer's kernel and the tangent kernel of the stream; p_0: covariances of the first layer."""
    dual, slope, mean = duals(name, p_0)
    stream, b = c_sigma(name) * dual, np.sqrt(c_sigma(name)) * mean
    tangent, kappa, streams, last = c_sigma(name) * slope * p_0, c_res / depth, [stream], p_0
    for _ in range(2, depth + 1):
        k = patch(stream)
        dual, slope, mean = duals(name, k)
        last = kappa**2 * k * slope
        tangent = tangent + kappa**2 * slope * (k + patch(tangent))
        stream = stream + kappa * (np.outer(b, mean) + np.outer(mean, b)) + kappa**2 * dual
        b = b + kappa * mean
        streams.append(stream)
    return stream, last, tangent, streams


def pooled(k, n, how):
    """Sum over equal pixels, or over all pairs of pixels."""
    blocks = k.reshape(n, len(k) // n, n, len(k) // n)
    return np.einsum("iljl->ij", blocks) if how == "flatten" else np.einsum("iljr->ij", blocks)
