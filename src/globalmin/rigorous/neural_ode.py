"""The Neural ODE's numbers, enclosed, as the residual network with tied weights that Euler's method makes of it.

h_{k+1} = h_k + Δt ŵ W φ(h_k), h_0 = û U x, f = v̂ v·φ(h_L). With λ_k = ∂f/∂h_k the tangent kernel is
û² (Λ_0Λ_0ᵀ)∘XXᵀ + (Δt ŵ)² Σ_kl (Λ_{k+1}Λ_{l+1}ᵀ)∘(Φ_kΦ_lᵀ) + v̂² Φ_LΦ_Lᵀ. Λ: theory/curvature/neural_ode.py, in balls, and for
0 ≤ φ′ ≤ 1 the half slopes there.
"""

from typing import Any

import numpy as np

from ..models import NeuralODE
from .elementwise import Elementwise
from .enclosure import Enclosure, Interval
from .flint import PRECISION, precision
from .relative import relative_norm
from .rows import Rows
from .solved import SLOPE01
from .spectrum import extreme_eigenvalues, lambda_min, operator_norm
from .theorem import Numbers, RigorousBlock, claimed

POWERS = 4
"""Of the matrices A^jW of the half slopes, about so many have their norm enclosed; for others ‖A‖ times the last one serves."""


def neural_ode_numbers(model: NeuralODE, x: np.ndarray, y: np.ndarray) -> Numbers:
    """Intervals of ρ₀, of both blocks' λ_min, of ‖J‖² and of what Λ rests on. Steps other than Euler's have none.

    **Raises:** `UnboundedError` for numbers beyond double precision; `ValueError` for an activation without formulas.
    """
    phi = Elementwise(model.activation.name)
    named = {"sigma_u": model.sigma_u, "sigma_w": model.sigma_w, "sigma_v": model.sigma_v, "horizon": model.horizon}
    options: dict[str, Any] = {"activation": phi.name, "layers": model.layers}
    options |= {k: float(v).hex() for k, v in named.items()}
    if model.solver != "euler" or model.tolerance is not None or model.adjoint == "backsolve":
        missing = (
            "the certificate is about Euler's method with equal steps and its exact gradient, the residual network; train with "
            "solver euler"
        )
        return Numbers({}, (), None, options, missing)
    scale = _Scales(model)
    w, v, rows = Enclosure.exact(model.hidden), Enclosure.exact(model.readout), Rows.exact(x)
    w_norm = operator_norm(w)
    states = [rows.times(Enclosure.exact(model.inject), 0.0).scaled(scale.u)]
    features = []
    for _ in range(model.layers):
        features.append(states[-1].through(phi))
        states.append(states[-1] + features[-1].times(w, w_norm.upper).scaled(scale.step_w))
    last = states[-1].through(phi).scaled(scale.v)
    shares = last.gram()
    quantities = {
        "rho_0": (last.dot(v) - Enclosure.exact(y)).norm(),
        "lambda_min_readout": lambda_min(shares),
        "w_norm": w_norm,
        "data_norm": rows.norm(),
        "data_max": rows.row_norm(),
    }
    for k, feature in enumerate(features):
        quantities |= {f"feature_layer@{k}": feature.norm(), f"feature_row@{k}": feature.row_norm()}
    half = {}
    if phi.name in SLOPE01:
        half = _half_slopes(shares, quantities["lambda_min_readout"], rows, features, w, scale)
    unshown = phi.name in SLOPE01 and not half
    quantities |= half
    smooth = phi.bend is not None and phi.third is not None
    if smooth:
        adjoint = states[-1].through(phi, 1).columns(v).scaled(scale.v)
        adjoints = [adjoint]
        quantities |= {
            "readout_max": v.largest(),
            "readout_bend": states[-1].through(phi, 2).columns(v).largest(),
            f"adjoint_row@{model.layers}": adjoint.row_norm(),
        }
        for k in reversed(range(model.layers)):
            back = adjoint.times(w.T, w_norm.upper).scaled(scale.w)
            adjoint = adjoint + states[k].through(phi, 1).hadamard(back).scaled(scale.step)
            adjoints.insert(0, adjoint)
            quantities |= {
                f"adjoint_row@{k}": adjoint.row_norm(),
                f"back_max@{k}": back.largest(),
                f"back_bend@{k}": back.hadamard(states[k].through(phi, 2)).largest(),
            }
        gram = shares + adjoints[0].gram() * rows.gram() * (scale.u * scale.u)
        tied = _tied(adjoints[1:], features)
        low, high = extreme_eigenvalues(gram + tied * (scale.step_w * scale.step_w))
        quantities |= {"lambda_min_all": low, "lambda_max": high}
    quantities = claimed(quantities)
    bound = _Bound({k: q.upper for k, q in quantities.items()}, phi, model, quantities["lambda_min_readout"].lower)
    readout = RigorousBlock("readout", bound.readout, apart=True, unshown=unshown)
    if not smooth:
        missing = f"{phi.name} has no finite sup|φ″| or sup|φ‴|: gradient descent has no certificate, flow may have one"
        return Numbers(quantities, (readout,), None, options, missing)
    return Numbers(quantities, (RigorousBlock("all", bound.whole), readout), bound.whole, options)


def _half_slopes(
    shares: Enclosure, least: Interval, rows: Rows, features: list[Rows], w: Enclosure, scale: "_Scales"
) -> dict[str, Interval]:
    """‖K^{-1/2}X‖ and ‖K^{-1/2}Φ_k‖, ‖A‖ and some of the ‖A^jW‖; nothing where K is not shown regular."""
    found = [relative_norm(shares, least, part.gram()) for part in (rows, *features)]
    relative = [v for v in found if v is not None]
    if len(relative) < len(found):
        return {}
    names = ["data_relative", *(f"feature_relative@{k}" for k in range(len(features)))]
    ahead = Enclosure.exact(np.eye(len(w.mid))) + w * (scale.step_w * Enclosure.exact(0.5))
    norm = operator_norm(ahead)
    quantities = {**dict(zip(names, relative, strict=True)), "ahead_norm": norm}
    power, stride = Rows.exact(w.mid), -(-len(features) // POWERS)
    for j in range(1, len(features)):
        power = power.times(ahead.T, norm.upper)
        if j % stride == 0:
            quantities[f"power_norm@{j}"] = power.norm()
    return quantities


def _tied(lefts: list[Rows], rights: list[Rows]) -> Enclosure:
    """Σ_kl (L_kL_lᵀ)∘(R_kR_lᵀ): the Gram matrix of Σ_k l_k ⊗ r_k, the terms k ≠ l once and transposed."""
    found = None
    for k, (left, right) in enumerate(zip(lefts, rights, strict=True)):
        for other, its_right in zip(lefts[:k], rights[:k], strict=True):
            share = left.product(other) * right.product(its_right)
            share = share + share.T
            found = share if found is None else found + share
        share = left.gram() * right.gram()
        found = share if found is None else found + share
    assert found is not None
    return found


class _Scales:
    """û, ŵ, v̂, Δt and Δt ŵ as scalars in doubles, enclosed."""

    def __init__(self, model: NeuralODE):
        with precision(PRECISION) as flint:
            u, w, v, step = scales(flint, model)
            self.u, self.w, self.v, self.step, self.step_w = (Enclosure.ball(b) for b in (u, w, v, step, step * w))


def scales(flint: Any, model: NeuralODE) -> tuple[Any, Any, Any, Any]:
    """û = σ_u/√d, ŵ = σ_w/√m, v̂ = σ_v/√m and Δt = T/L as balls."""
    width, dimension = model.inject.shape
    root = flint.arb(width).sqrt()
    u = flint.arb(float(model.sigma_u)) / flint.arb(dimension).sqrt()
    step = flint.arb(float(model.horizon)) / model.layers
    return u, flint.arb(float(model.sigma_w)) / root, flint.arb(float(model.sigma_v)) / root, step


class _Bound:
    """Λ and the read-out's Λ_* on a ball, from the upper ends of the quantities."""

    def __init__(self, upper: dict[str, float], phi: Elementwise, model: NeuralODE, least: float):
        self.upper, self.phi, self.model, self.least = upper, phi, model, least

    def readout(self, radius: Any) -> Any:
        """v̂ sup|φ′| p_L, or that of the half slopes."""
        with precision(PRECISION) as flint:
            found = scales(flint, self.model)[2] * flint.arb(self.phi.slope) * self._states(flint, radius)[1][-1]
            if "data_relative" in self.upper:
                half = self._halves(flint, radius)
                found = found.min(half) if half.is_finite() else found
            return found if found.is_finite() else None

    def _halves(self, flint: Any, radius: Any) -> Any:
        """½σ₀(shares of C_L in the norm of K) + v̂(‖V_L‖ + ½‖C_L‖), what dU does and what dW does apart up to the end."""
        arb, layers = flint.arb, self.model.layers
        u, w, v, dt = scales(flint, self.model)
        q = {k: arb(value) for k, value in self.upper.items()}
        sigma, alpha = arb(self.least).sqrt(), q["ahead_norm"]
        driven, growth = [w * q["w_norm"]], [arb(1)]
        for j in range(1, layers):
            exact = w * q[f"power_norm@{j}"] if f"power_norm@{j}" in q else None
            driven.append(alpha * driven[-1] if exact is None else (alpha * driven[-1]).min(exact))
            growth.append(growth[-1] * alpha)
        weights = [dt * (gamma / 2 + w * radius * power) for gamma, power in zip(driven, growth, strict=True)]
        ends = []
        for first, source, relative in (
            (u * q["data_norm"], [arb(0)] * layers, v * u * q["data_relative"] * growth[-1] * alpha),
            (
                arb(0),
                [dt * w * q[f"feature_layer@{k}"] for k in range(layers)],
                dt * v * w * sum((growth[layers - 1 - k] * q[f"feature_relative@{k}"] for k in range(layers)), arb(0)),
            ),
        ):
            kept, rest = [first], [arb(0)]
            for k in range(1, layers + 1):
                kept.append(alpha * kept[-1] + source[k - 1])
                rest.append(sum((weights[k - 1 - j] * (kept[j] + rest[j]) for j in range(k)), arb(0)))
            ends.append(sigma * relative / 2 + v * (rest[-1] + kept[-1] / 2))
        return _hypot(*ends)

    def whole(self, radius: Any) -> Any:
        """The norm of ((a, b), (b, 0))."""
        with precision(PRECISION) as flint:
            found = self._whole(flint, radius)
            return found if found.is_finite() else None

    def _states(self, flint: Any, radius: Any) -> tuple[list[Any], list[Any], list[Any]]:
        """Growth per layer, p and π."""
        arb = flint.arb
        u, w, _, dt = scales(flint, self.model)
        q = {k: arb(value) for k, value in self.upper.items()}
        slope = arb(self.phi.slope)
        growth = 1 + dt * w * slope * (q["w_norm"] + radius)
        own = [u * q["data_norm"], u * q["data_max"]]
        shared = [arb(0), arb(0)]
        p, pi = [own[0]], [own[1]]
        for k in range(self.model.layers):
            norms = (
                q[f"feature_layer@{k}"] + slope * radius * p[-1],
                q[f"feature_row@{k}"] + slope * radius * pi[-1],
            )
            shared = [growth * s + dt * w * f for s, f in zip(shared, norms, strict=True)]
            own = [growth * o for o in own]
            p.append(_hypot(shared[0], own[0]))
            pi.append(_hypot(shared[1], own[1]))
        return [growth] * self.model.layers, p, pi

    def _whole(self, flint: Any, radius: Any) -> Any:
        arb = flint.arb
        _, w, v, dt = scales(flint, self.model)
        q = {k: arb(value) for k, value in self.upper.items()}
        slope, bend, third = (arb(s) for s in self.phi.suprema)
        growth, p, pi = self._states(flint, radius)
        v_max = q["readout_max"]
        v_bend = (q["readout_bend"] + bend * radius + third * radius * pi[-1] * v_max).min(bend * (v_max + radius))
        turn = v * _hypot(slope, v_bend * pi[-1])
        corner, side = v * v_bend * pi[-1] * p[-1], v * slope * p[-1]
        for k in reversed(range(self.model.layers)):
            moved = radius * turn
            at = q[f"adjoint_row@{k + 1}"]
            back = w * ((q["w_norm"] + radius) * moved + radius * at)
            bent = (q[f"back_bend@{k}"] + bend * back + third * radius * pi[k] * q[f"back_max@{k}"]).min(
                bend * (q[f"back_max@{k}"] + back)
            )
            corner += dt * (2 * w * slope * (at + moved) + bent * pi[k]) * p[k]
            turn = growth[k] * turn + dt * (w * slope * (at + moved) + bent * pi[k])
        return (corner + (corner * corner + 4 * side * side).sqrt()) / 2


def _hypot(a: Any, b: Any) -> Any:
    return (a * a + b * b).sqrt()
