"""The two-layer network's numbers, enclosed: outputs, Gram matrix neuron block by neuron block, and what Λ rests on.

f = m^{-1/2} Σ_r a_r φ(w_r·x), with J Jᵀ = (ΦₐΦₐᵀ)∘(XXᵀ)/m, Φₐ = φ′(XWᵀ) diag(a), plus φ(XWᵀ)φ(XWᵀ)ᵀ/m where a is trained. Λ is
that of theory/curvature/two_layer.py.
"""

import dataclasses
from typing import Any

import numpy as np

from ..models import TwoLayer
from .elementwise import Elementwise
from .enclosure import Enclosure, Interval
from .flint import PRECISION, precision
from .spectrum import extreme_eigenvalues, lambda_max, operator_norm, root
from .theorem import Numbers, RigorousBlock, claimed
from .two_layer_local import local_numbers

NEURONS = 1024
"""Neurons enclosed at a time: memory stays at a few n × 1024 matrices whatever the width."""


def two_layer_numbers(model: TwoLayer, x: np.ndarray, y: np.ndarray) -> Numbers:
    """Intervals of ρ₀, λ_min and λ_max of the Gram matrix, ‖X‖, χ and max|a_r|, and Λ as a function of the radius.

    **Raises:** `UnboundedError` for numbers beyond double precision; `ValueError` for an activation without formulas.
    """
    phi = Elementwise(model.activation.name)
    rows, a = Enclosure.exact(x), Enclosure.exact(model.readout)
    width = len(a.mid)
    options = {"activation": phi.name, "train_readout": bool(model.train_readout)}
    if phi.bend is None:
        return Numbers({}, (), None, options, f"{phi.name} has no finite sup|φ″|: no block of this network has a bound")
    with precision(PRECISION) as flint:
        scale = Enclosure.ball(1 / flint.arb(width).sqrt())
    n = len(rows.mid)
    sums, slopes, features = Enclosure.exact(np.zeros(n)), Enclosure.exact(np.zeros((n, n))), None
    for first in range(0, width, NEURONS):
        part = slice(first, first + NEURONS)
        h = rows @ Enclosure.exact(model.hidden[part]).T
        z, slope = phi(h), phi(h, 1) * a[part]
        sums = sums + z @ a[part]
        slopes = slopes + slope @ slope.T
        if model.train_readout:
            features = z @ z.T if features is None else features + z @ z.T
    products = rows @ rows.T
    gram = slopes * products
    if features is not None:
        gram = gram + features
    gram = gram * (scale * scale)
    low, high = extreme_eigenvalues(gram)
    quantities = claimed({
        "rho_0": (sums * scale - Enclosure.exact(y)).norm(),
        "lambda_min_all": low,
        "lambda_max": Interval(max(high.lower, 0.0), high.upper),
        "data_norm": operator_norm(rows),
        "fourth_moment": root(lambda_max(products * products)),
        "readout_max": a.largest(),
    })  # fmt: skip
    slope, bend = phi.slope, phi.bend

    def lipschitz(radius: Any) -> Any:
        with precision(PRECISION) as flint:
            root_m = flint.arb(width).sqrt()
            most = flint.arb(quantities["readout_max"].upper)
            chi = flint.arb(quantities["fourth_moment"].upper)
            if not model.train_readout:
                return flint.arb(bend) * most * chi / root_m
            corner = flint.arb(bend) * (most + radius) * chi / root_m
            mixed = flint.arb(slope) * flint.arb(quantities["data_norm"].upper) / root_m
            return (corner + (corner * corner + 4 * mixed * mixed).sqrt()) / 2

    numbers = Numbers(quantities, (RigorousBlock("all", lipschitz),), lipschitz, options)
    if model.train_readout or phi.third is None:
        return numbers
    return dataclasses.replace(numbers, further=lambda: local_numbers(model, x, gram, numbers))
