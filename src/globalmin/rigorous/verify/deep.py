"""The deep networks, checked: fully connected, residual and convolutional, every number recomputed in balls."""

from typing import Any

import numpy as np

from .. import file
from .activations import Phi
from .claims import Claims, RefutedError
from .constants import Constants
from .deep_bound import DeepConstants
from .images import Images


def check_dense(
    claims: Claims, options: dict, weights: dict, x: Any, y: Any, *, residual_only: bool = False
) -> Constants:
    """f = aᵀx_H, x_h = √(c_σ/m) σ(W_h x_{h−1})."""
    return _check(claims, options, weights, x, y, residual_only, skip=False)


def check_resnet(
    claims: Claims, options: dict, weights: dict, x: Any, y: Any, *, residual_only: bool = False
) -> Constants:
    """f = aᵀx_H, x_h = x_{h−1} + c_res/(H√m) σ(W_h x_{h−1}) from layer 2 on; the same on the patches of images."""
    return _check(claims, options, weights, x, y, residual_only, skip=True)


def _check(
    claims: Claims,
    options: dict,
    weights: dict[str, np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    residual_only: bool,
    skip: bool,
) -> Constants:
    """Confirm the claims, and return the Lipschitz constants as functions of the radius; or confirm ρ alone."""
    net = _Network(claims, options, weights, x, skip)
    balls = net.balls
    last = balls.of(len(x), weights["readout"].size, net.states[-1].entries())
    claims.residual(balls.product(last, balls.exact(weights["readout"].reshape(-1, 1))), balls.exact(y))
    if residual_only:
        return Constants({}, None)
    gram = balls.product(last, last.transpose())
    claims.least_eigenvalue("lambda_min_readout", gram)
    g = balls.exact(np.concatenate([weights["readout"].reshape(net.images.pixels, -1)] * len(x)))
    for h in range(net.depth, 0, -1):
        delta, g = net.check_layer(h, g)
        gram = gram + net.images.kernel(balls, delta, net.inputs[h - 1], len(x))
    claims.least_eigenvalue("lambda_min_all", gram)
    claims.greatest_eigenvalue("lambda_max", gram)
    bound = DeepConstants(claims, net.phi, net.kappas, net.images.patch_pixels, len(x), skip)
    return Constants({"all": bound.whole, "readout": bound.readout}, bound.whole, apart=("readout",))


class _Network:
    """The forward pass; layers count from 1, `inputs[h − 1]` and `before[h − 1]` are those of layer h."""

    def __init__(self, claims: Claims, options: dict, weights: dict[str, np.ndarray], x: np.ndarray, skip: bool):
        self.claims, self.balls, self.skip = claims, claims.balls, skip
        balls, arb = self.balls, claims.arb
        self.phi = Phi(arb, options["activation"])
        self.weights = [balls.exact(w) for w in (weights["first"], *weights["hidden"])]
        self.depth, width = len(self.weights), arb(weights["readout"].shape[-1]).sqrt()
        c_sigma = arb(file.from_hex("c_sigma", options["c_sigma"]))
        c_res = arb(file.from_hex("c_res", options["c_res"])) if skip else arb(1)
        if not (c_sigma > 0 and c_res > 0):
            raise RefutedError("certificate: positive c_sigma and c_res expected")
        first = c_sigma.sqrt() / width
        self.kappas = [first] + [c_res / (self.depth * width) if skip else first] * (self.depth - 1)
        self.images = Images(options.get("image_shape"), options.get("filter_size"), x.shape[1])
        self.samples = len(x)
        state = balls.exact(x.reshape(len(x) * self.images.pixels, -1))
        self.inputs, self.before, self.states = [], [], []
        for w, kappa in zip(self.weights, self.kappas, strict=True):
            self.inputs.append(self.images.cut(balls, state))
            self.before.append(balls.product(self.inputs[-1], w.transpose()))
            branch = balls.map(self.phi.value, self.before[-1]) * kappa
            state = state + branch if skip and self.states else branch
            self.states.append(state)

    def check_layer(self, h: int, g: Any) -> tuple[Any, Any]:
        """Confirm a layer's numbers; ∂f/∂p of it, and ∂f/∂x of the layer below, from g = ∂f/∂x_h."""
        balls, claims, w, z, p = self.balls, self.claims, self.weights[h - 1], self.inputs[h - 1], self.before[h - 1]
        slopes = balls.map(self.phi.slope, p)
        delta = balls.hadamard(slopes, g) * self.kappas[h - 1]
        sizes = [[abs(v) for v in row] for row in slopes.tolist()]
        steep = [balls.largest([row[j] for row in sizes]) for j in range(w.nrows())]
        claims.operator_norm(f"weight_norm@{h}", w)
        claims.number(f"weight_row@{h}", balls.largest(balls.row_norms(w)))
        claims.operator_norm(f"sloped_norm@{h}", balls.scale_columns(w.transpose(), steep))
        claims.number(f"slope_max@{h}", balls.largest(steep))
        claims.operator_norm(f"input_norm@{h}", z)
        claims.number(f"input_max@{h}", self._largest_sample(z))
        claims.number(f"input_row@{h}", balls.largest(balls.row_norms(z)))
        claims.operator_norm(f"left_norm@{h}", delta)
        claims.number(f"left_max@{h}", self._largest_sample(delta))
        claims.number(f"cotangent_max@{h}", balls.largest([abs(v) for v in g.entries()]))
        if self.images.pixels == 1:
            products = balls.product(z, z.transpose())
            claims.greatest_root(f"input_fourth@{h}", balls.hadamard(products, products))
        bent = balls.hadamard(g, balls.map(self.phi.bend, p))
        claims.number(f"bent_max@{h}", balls.largest([abs(v) for v in bent.entries()]))
        if h == 1:
            return delta, None
        below = self.images.back(balls, balls.product(delta, w))
        return delta, g + below if self.skip else below

    def _largest_sample(self, a: Any) -> Any:
        """The largest Frobenius norm of one sample's rows."""
        entries, each = a.entries(), a.nrows() * a.ncols() // self.samples
        parts = [self.balls.norm(entries[i * each : (i + 1) * each]) for i in range(self.samples)]
        return self.balls.largest(parts)
