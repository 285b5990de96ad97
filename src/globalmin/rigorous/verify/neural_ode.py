"""The Neural ODE by Euler's method, checked: the residual network with tied weights, every number recomputed in balls."""

from typing import Any

import numpy as np

from .. import file
from .activations import Phi
from .balls import Balls
from .claims import Claims, RefutedError
from .constants import Constants
from .layers import length, smallest


def check_neural_ode(
    claims: Claims,
    options: dict,
    weights: dict[str, np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    *,
    residual_only: bool = False,
) -> Constants:
    """Confirm the claims about f = v̂ v·φ(h_L), h_{k+1} = h_k + Δt ŵ W φ(h_k), h_0 = û U x, and return its constants on balls;
    or confirm ρ alone."""
    net = _Network(claims, options, weights, x)
    balls = net.balls
    claims.residual(balls.product(net.features[-1], net.v) * net.out, balls.exact(y))
    if residual_only:
        return Constants({}, None)
    claims.operator_norm("w_norm", net.w)
    claims.operator_norm("data_norm", net.rows)
    claims.number("data_max", balls.largest(balls.row_norms(net.rows)))
    last = net.features[-1]
    shares = balls.product(last, last.transpose()) * (net.out * net.out)
    claims.least_eigenvalue("lambda_min_readout", shares)
    for k, feature in enumerate(net.features[:-1]):
        claims.operator_norm(f"feature_layer@{k}", feature)
        claims.number(f"feature_row@{k}", balls.largest(balls.row_norms(feature)))
    if "data_relative" in claims.names and net.phi.slope01:
        net.check_half_slopes(shares)
    if "lambda_min_all" in claims.names:
        adjoints = net.adjoints()
        kernel = balls.product(net.rows, net.rows.transpose())
        kernel = balls.hadamard(balls.product(adjoints[0], adjoints[0].transpose()), kernel) * (net.into * net.into)
        kernel = shares + kernel + net.shared(adjoints[1:])
        claims.least_eigenvalue("lambda_min_all", kernel)
        claims.greatest_eigenvalue("lambda_max", kernel)
        return Constants({"all": net.whole, "readout": net.readout}, net.whole, apart=("readout",))
    return Constants({"readout": net.readout}, None, apart=("readout",))


class _Network:
    """The forward pass: states h_0 … h_L and features φ(h_0) … φ(h_L)."""

    def __init__(self, claims: Claims, options: dict, weights: dict[str, np.ndarray], x: np.ndarray):
        self.claims, self.balls = claims, claims.balls
        self.halves, self.powers = False, []  # whether the half slopes were confirmed, and which norms of powers
        balls, arb = self.balls, claims.arb
        self.phi, self.count = Phi(arb, options["activation"]), options["layers"]
        numbers = [arb(file.from_hex(k, options[k])) for k in ("sigma_u", "sigma_w", "sigma_v", "horizon")]
        if type(self.count) is not int or self.count < 1 or not all(v > 0 for v in numbers):
            raise RefutedError("certificate: a positive number of layers, σ_u, σ_w, σ_v and horizon expected")
        sigma_u, sigma_w, sigma_v, horizon = numbers
        m, d = weights["inject"].shape
        self.into, self.out = sigma_u / arb(d).sqrt(), sigma_v / arb(m).sqrt()
        self.unit, self.dt = sigma_w / arb(m).sqrt(), horizon / self.count
        self.rows, self.w, self.v = balls.exact(x), balls.exact(weights["hidden"]), balls.exact(weights["readout"])
        h = balls.product(self.rows, balls.exact(weights["inject"]).transpose()) * self.into
        self.states, self.features = [h], [balls.map(self.phi.value, h)]
        for _ in range(self.count):
            h = h + balls.product(self.features[-1], self.w.transpose()) * (self.dt * self.unit)
            self.states.append(h)
            self.features.append(balls.map(self.phi.value, h))

    def check_half_slopes(self, shares: Any) -> None:
        """Confirm what the half slopes rest on: norms in that of the read-out's Gram matrix, and of A and some A^jW."""
        balls, claims = self.balls, self.claims
        claims.relative_norm("data_relative", shares, balls.product(self.rows, self.rows.transpose()))
        for k, feature in enumerate(self.features[:-1]):
            claims.relative_norm(f"feature_relative@{k}", shares, balls.product(feature, feature.transpose()))
        ahead = -balls.shifted(self.w * (-self.dt * self.unit / 2), claims.arb(1))
        claims.operator_norm("ahead_norm", ahead)
        self.powers = sorted(j for j in range(1, self.count) if f"power_norm@{j}" in claims.names)
        known, before = self.w, 0
        strides: dict[int, Any] = {}
        for j in self.powers:
            if j - before not in strides:
                strides[j - before] = self._power(ahead, j - before)
            known, before = balls.product(strides[j - before], known), j
            claims.operator_norm(f"power_norm@{j}", known)
        self.halves = True

    def _power(self, a: Any, exponent: int) -> Any:
        """By squaring."""
        if exponent == 1:
            return a
        half = self._power(a, exponent // 2)
        found = self.balls.product(half, half)
        return self.balls.product(a, found) if exponent % 2 else found

    def adjoints(self) -> list[Any]:
        """λ_0 … λ_L, with the claims about them confirmed."""
        balls, claims, phi = self.balls, self.claims, self.phi

        def largest(a: Any) -> Any:
            return balls.largest([abs(v) for v in a.entries()])

        v = self.v.entries()
        claims.number("readout_max", largest(self.v))
        top = balls.scale_columns(balls.map(phi.slope, self.states[-1]), [e * self.out for e in v])
        claims.number("readout_bend", largest(balls.scale_columns(balls.map(phi.bend, self.states[-1]), v)))
        claims.number(f"adjoint_row@{self.count}", balls.largest(balls.row_norms(top)))
        found = [top]
        for k in reversed(range(self.count)):
            b = balls.product(found[0], self.w) * self.unit
            claims.number(f"back_max@{k}", largest(b))
            claims.number(f"back_bend@{k}", largest(balls.hadamard(b, balls.map(phi.bend, self.states[k]))))
            found.insert(0, found[0] + balls.hadamard(b, balls.map(phi.slope, self.states[k])) * self.dt)
            claims.number(f"adjoint_row@{k}", balls.largest(balls.row_norms(found[0])))
        return found

    def shared(self, adjoints: list[Any]) -> Any:
        """The share of W: its Jacobian has the rows Δt ŵ Σ_k λ_{k+1} ⊗ φ(h_k)."""
        balls, pairs = self.balls, list(zip(adjoints, self.features[:-1], strict=True))
        found = None
        for k, (left, right) in enumerate(pairs):
            for j in range(k + 1):
                share = _cross(balls, (left, right), pairs[j])
                share = share if j == k else share + share.transpose()
                found = share if found is None else found + share
        return found * (self.dt * self.unit * self.dt * self.unit)

    def readout(self, radius: Any) -> Any:
        """The Lipschitz constant of the read-out's block."""
        found = self.out * self.phi.sup1 * self._along(radius)[0][-1]
        return smallest(found, self._by_half_slopes(radius)) if self.halves else found

    def _by_half_slopes(self, radius: Any) -> Any:
        """The linear part C moves all samples by one matrix and counts half, in the norm of K too; V is what it leaves."""
        c, count, gain = self.claims.upper, self.count, self.dt * self.unit
        a = c("ahead_norm")
        powers = [radius * 0 + 1]
        for _ in range(count):
            powers.append(powers[-1] * a)
        turns = [c("w_norm") * self.unit]  # ‖A^jŵW‖
        for j in range(1, count):
            turns.append(turns[-1] * a)
            if j in self.powers:
                turns[j] = smallest(turns[j], self.unit * c(f"power_norm@{j}"))
        by_u = [powers[k] * self.into * c("data_norm") for k in range(count + 1)]
        by_w = [
            gain * sum((powers[k - 1 - j] * c(f"feature_layer@{j}") for j in range(k)), radius * 0)
            for k in range(count + 1)
        ]
        seen = (
            powers[count] * self.into * c("data_relative"),
            gain * sum((powers[count - 1 - j] * c(f"feature_relative@{j}") for j in range(count)), radius * 0),
        )
        sigma = self.claims.lower("lambda_min_readout").nonnegative_part().sqrt()
        parts = []
        for linear, relative in zip((by_u, by_w), seen, strict=True):
            total = [radius * 0 + linear[0]]  # ‖C_k‖ + ‖V_k‖
            for k in range(1, count + 1):
                driven = radius * 0
                for j in range(k):
                    driven = driven + (turns[k - 1 - j] / 2 + self.unit * radius * powers[k - 1 - j]) * total[j]
                total.append(linear[k] + self.dt * driven)
            parts.append(self.out * (sigma * relative / 2 + total[count] - linear[count] / 2))
        return length(*parts)

    def whole(self, radius: Any) -> Any:
        """The Lipschitz constant of the whole Jacobian: docs/theory/kantorovich.md says where each term comes from."""
        c, phi, w, dt = self.claims.upper, self.phi, self.unit, self.dt
        alls, ones, step = self._along(radius)
        drifts = [radius * one for one in ones]
        bent = smallest(
            phi.sup2 * (c("readout_max") + radius),
            c("readout_bend") + phi.sup2 * radius + phi.sup3 * drifts[-1] * c("readout_max"),
        )
        first = self.out * bent * ones[-1] * alls[-1]
        turn = self.out * length(phi.sup1, bent * ones[-1])
        for k in range(self.count - 1, -1, -1):
            before = c(f"adjoint_row@{k + 1}")
            adjoint = before + radius * turn
            change = w * ((c("w_norm") + radius) * radius * turn + radius * before)
            bent = smallest(
                phi.sup2 * (c(f"back_max@{k}") + change),
                c(f"back_bend@{k}") + phi.sup2 * change + phi.sup3 * drifts[k] * c(f"back_max@{k}"),
            )
            first = first + 2 * dt * w * phi.sup1 * adjoint * alls[k] + dt * bent * ones[k] * alls[k]
            turn = step * turn + dt * w * phi.sup1 * adjoint + dt * bent * ones[k]
        side = self.out * phi.sup1 * alls[-1]
        return first / 2 + (first * first / 4 + side * side).sqrt()

    def _along(self, radius: Any) -> tuple[list[Any], list[Any], Any]:
        """‖dH_k‖_F over the samples and the largest ‖dh_k,i‖ per unit of (dU, dW), and the growth of a layer."""
        c, sup1, gain = self.claims.upper, self.phi.sup1, self.dt * self.unit
        step = 1 + gain * sup1 * (c("w_norm") + radius)
        found = []
        for datum, feature in (("data_norm", "feature_layer"), ("data_max", "feature_row")):
            by_u, by_w = self.into * c(datum), radius * 0
            sizes = [by_u]
            for k in range(self.count):
                by_w = step * by_w + gain * (c(f"{feature}@{k}") + sup1 * radius * sizes[-1])
                by_u = step * by_u
                sizes.append(length(by_w, by_u))
            found.append(sizes)
        return found[0], found[1], step


def _cross(balls: Balls, one: tuple[Any, Any], other: tuple[Any, Any]) -> Any:
    lefts, rights = (balls.product(a, b.transpose()) for a, b in zip(one, other, strict=True))
    return balls.hadamard(lefts, rights)
