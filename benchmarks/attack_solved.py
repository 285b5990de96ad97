"""The 300-bit reference of the deep equilibrium model and of the implicit network; see attack_layers.py.

An equilibrium is found by Newton's method, the Jacobian is a difference quotient of equilibria, and the constants are those of
theory/curvature/equilibrium.py and theory/curvature/implicit.py, written once more.
"""

from typing import Any

import numpy as np
from attack_certificates import matrix, spectrum
from attack_layers import (
    SLOPE01,
    STEP,
    Layered,
    entry_max,
    entrywise,
    jacobian,
    length,
    measured,
    norm,
    relative,
    rows_max,
    second,
    slope,
    suprema,
    value,
)  # fmt: skip
from flint import arb, arb_mat


def solve(name: str, w: Any, shift: Any, start: Any, steps: int) -> Any:
    """The rows z = φ(Wz + c) by Newton's method from `start`."""
    m, rows = w.nrows(), []
    for z, c in zip(start.tolist(), shift.tolist(), strict=True):
        z, c = arb_mat([[v] for v in z]), arb_mat([[v] for v in c])
        for _ in range(steps):
            h = w * z + c
            slopes = slope(name, h).entries()
            step = arb_mat([[(1 if i == j else 0) - slopes[i] * w[i, j] for j in range(m)] for i in range(m)])
            z = entrywise(lambda v: v.mid(), z - step.solve(z - value(name, h)))
        rows.append(z.entries())
    return arb_mat(rows)


IN_DOUBLES = {
    "tanh": np.tanh,
    "softplus": lambda h: np.logaddexp(h, 0.0),
    "sin": np.sin,
    "relu": lambda h: np.maximum(h, 0.0),
}


def first_guess(name: str, w: np.ndarray, c: np.ndarray) -> Any:
    """By a damped iteration in doubles."""
    z = np.zeros_like(c)
    for _ in range(600):
        z = z + 0.2 * (IN_DOUBLES[name](z @ w.T + c) - z)
    return matrix(z)


def resolvents(s1: Any, size: Any, mu: Any, *, monotone: bool) -> tuple[Any, Any] | None:
    """T and N of theory/curvature/equilibrium.py."""
    found = []
    if s1 * size < 1:
        found.append((s1 / (1 - s1 * size), 1 / (1 - s1 * size)))
    if monotone and mu < 1:
        found.append((1 / (1 - mu), None))
    if not found:
        return None
    t = least(*(f[0] for f in found))
    ns = [f[1] for f in found if f[1] is not None]
    return t, least(*ns, 1 + size * t) if monotone and mu < 1 else ns[0]


def least(*parts: Any) -> Any:
    """The smallest."""
    return min(parts, key=lambda v: v.mid())


class Solved:
    """What both networks share: Z, R and G at the weights, the outputs as a function of them, ‖M‖, μ, rows and columns of M."""

    def __init__(self, model: Any, x: np.ndarray, m: Any, shift: Any, readout: Any):
        self.name = model.activation.name
        doubles = [np.array([float(v) for v in a.entries()]).reshape(a.nrows(), a.ncols()) for a in (m, shift)]
        self.z = solve(self.name, m, shift, first_guess(self.name, *doubles), 7)
        self.h = self.z * m.transpose() + shift
        self.smooth = suprema(self.name)[1] is not None
        self.monotone = self.name in SLOPE01
        halves = (m + m.transpose()) / 2
        self.known = {"w_norm": norm(m), "mu": spectrum(halves)[-1]}
        if self.smooth:
            columns = []
            for j in range(m.nrows()):
                ends = []
                for sign in (1, -1):
                    moved = arb_mat(shift)
                    for i in range(len(x)):
                        moved[i, j] = moved[i, j] + sign * STEP
                    ends.append((solve(self.name, m, moved, self.z, 4) * readout).entries())
                columns.append([(u - v) / (2 * STEP) for u, v in zip(*ends, strict=True)])
            self.r = arb_mat(columns).transpose()  # ∂f/∂h
            self.g = self.r * m + arb_mat([readout.entries()] * len(x))
            bends = entrywise(lambda z: second(self.name, z), self.h)
            self.known |= {
                "w_row": rows_max(m),
                "w_column": rows_max(m.transpose()),
                "a_norm": length(readout.entries()),
                "adjoint_max": rows_max(self.r),
                "g_max": entry_max(self.g),
                "gbend_max": entry_max(entrywise(lambda u, v: u * v, self.g, bends)),
            }


def fourth(rows: Any) -> Any:
    """χ of the rows."""
    return spectrum(entrywise(lambda v: v * v, rows * rows.transpose()))[-1].nonnegative_part().sqrt()


def joined(a: Any, b: Any) -> Any:
    """[a, b]."""
    return arb_mat([u + v for u, v in zip(a.tolist(), b.tolist(), strict=True)])


def equilibrium_truth(model: Any, x: np.ndarray) -> Layered:
    """f = a·z, z = φ(Wz + Ux)."""
    arrays = (model.hidden, model.inject, np.asarray(model.readout)[:, None])
    weights = {k: matrix(np.asarray(a)) for k, a in zip("wua", arrays, strict=True)}
    rows = matrix(x)
    at = Solved(model, x, weights["w"], rows * weights["u"].transpose(), weights["a"])
    name, z, known = at.name, at.z, at.known

    def forward(w: dict[str, Any]) -> list[Any]:
        return (solve(name, w["w"], rows * w["u"].transpose(), z, 4) * w["a"]).entries()

    stacked, gram = joined(z, rows), z * z.transpose()
    eigenvalues = {"readout": spectrum(gram)[0]}
    known |= {"lambda_min_readout": eigenvalues["readout"], "features_norm": norm(stacked)}
    high = arb(0)
    if at.smooth:
        eigenvalues["all"], high = measured(jacobian(forward, weights, ["w", "u", "a"]))
        known |= {"lambda_min_all": eigenvalues["all"], "lambda_max": high}
        known |= {"feature_max": rows_max(stacked), "fourth_moment": fourth(stacked)}
    half = at.monotone and eigenvalues["readout"] > 0
    if half:
        known["data_relative"] = relative(gram, rows * rows.transpose())
    s1, s2, s3 = suprema(name)

    def constants(radius: Any) -> tuple[dict[str, Any], Any] | None:
        both = resolvents(s1, known["w_norm"] + radius, known["mu"] + radius, monotone=at.monotone)
        if both is None:
            return None
        (t, n), y = both, known["features_norm"]
        readout = t * y
        if half and known["mu"] + radius < 1:
            kappa = norm_of_stack(known["data_relative"])
            readout = least(readout, (y + eigenvalues["readout"].sqrt() * kappa) / (1 - known["mu"] - radius) / 2)
        if not at.smooth:
            return {"readout": readout}, None
        d = [arb(0)] * 5  # of h, g, r, Z and one z
        found = arb(0)
        for _ in range(400):
            one, each = known["feature_max"] + d[4], y + d[3]
            a = known["a_norm"] + radius
            r = least(known["adjoint_max"] + d[2], t * a)
            q = least(
                known["gbend_max"] + s2 * d[1] + s3 * d[0] * known["g_max"], s2 * (known["g_max"] + d[1]), s2 * n * a
            )
            nu, nu_g = (least(n, 1 + (known[k] + radius) * t) for k in ("w_row", "w_column"))
            new = [
                nu * radius * one,
                least(
                    nu_g * radius * length([arb(1), r]) + (known["w_column"] + radius) * n * q * n * radius * one,
                    n * a + known["g_max"],
                ),
                t * radius * length([arb(1), r]) + q * n * n * radius * one,
                t * radius * each,
                t * radius * one,
            ]
            chi = least((known["fourth_moment"].sqrt() + d[3]) ** 2, one * each)
            found = norm(arb_mat([[2 * r * t * each + q * n * n * chi, t * each], [t * each, arb(0)]]))
            if not all(v < 1e12 for v in new):
                return {"readout": readout}, None
            if all(abs(u - v) <= arb(2) ** -60 * abs(v) for u, v in zip(d, new, strict=True)):
                return {"readout": readout, "all": found}, found
            d = [v.mid() for v in new]
        return {"readout": readout}, None

    return Layered(forward(weights), eigenvalues, high, constants, known, "readout")


def norm_of_stack(of_data: Any) -> Any:
    """‖K^{-1/2}[Z; X]‖ with K = ZZᵀ, from the two blocks I and K^{-1/2}X."""
    return length([arb(1), of_data])


def implicit_truth(model: Any, x: np.ndarray) -> Layered:
    """f = u·z + v·Φ, z = φ(gAz + Φ), Φ = φ(Wx)/√m, g = γ/√m."""
    arrays = (model.hidden, model.inject, np.asarray(model.readout)[:, None], np.asarray(model.skip)[:, None])
    weights = {k: matrix(np.asarray(a)) for k, a in zip("awuv", arrays, strict=True)}
    rows, width = matrix(x), weights["a"].nrows()
    root = arb(width).sqrt()
    g, name = arb(float(model.gamma)) / root, model.activation.name

    def features(w: dict[str, Any]) -> Any:
        return value(name, rows * w["w"].transpose()) * (1 / root)

    phi = features(weights)
    at = Solved(model, x, weights["a"] * g, phi, weights["u"])
    z, known = at.z, at.known

    def forward(w: dict[str, Any]) -> list[Any]:
        injected = features(w)
        return (solve(name, w["a"] * g, injected, z, 4) * w["u"] + injected * w["v"]).entries()

    gram = phi * phi.transpose()
    eigenvalues = {"features": spectrum(gram)[0]}
    known |= {"lambda_min_features": eigenvalues["features"], "data_norm": norm(rows)}
    high = arb(0)
    s1, s2, s3 = suprema(name)
    if at.smooth:
        eigenvalues["all"], high = measured(jacobian(forward, weights, ["a", "w", "u", "v"]))
        known |= {"lambda_min_all": eigenvalues["all"], "lambda_max": high, "data_max": rows_max(rows)}
        both = at.r + arb_mat([weights["v"].entries()] * len(x))
        bends = entrywise(lambda q: second(name, q), rows * weights["w"].transpose())
        known |= {
            "fourth_moment": fourth(rows),
            "state_norm": norm(z),
            "state_max": rows_max(z),
            "state_fourth": fourth(z),
            "rv_max": entry_max(both),
            "rvbend_max": entry_max(entrywise(lambda a, b: a * b, both, bends)),
        }
    half = at.monotone and eigenvalues["features"] > 0
    if half:
        known["data_relative"] = relative(gram, rows * rows.transpose())

    def constants(radius: Any) -> tuple[dict[str, Any], Any] | None:
        both = resolvents(s1, known["w_norm"] + g * radius, known["mu"] + g * radius, monotone=at.monotone)
        if both is None:
            return None
        of_features = s1 * known["data_norm"] / root
        if half:
            in_gram = eigenvalues["features"].sqrt() * known["data_relative"]
            of_features = least(of_features, (known["data_norm"] + in_gram) / (2 * root))
        if not at.smooth:
            return {"features": of_features}, None
        (t, n), k, e = both, known, s1 / root
        drive = e * k["data_norm"]
        moved = t * radius * length([g * k["state_norm"], drive])
        states = k["state_norm"] + moved
        state = k["state_max"] + t * radius * length([g * k["state_max"], e * k["data_max"]])
        chi_z = least((k["state_fourth"].sqrt() + moved) ** 2, states * state)
        tau = length([g * state, e * k["data_max"]])
        column = k["w_column"] + g * radius
        p = least(n, 1 + (k["w_row"] + g * radius) * t) * radius * tau
        u = k["a_norm"] + radius
        push = length([arb(1), g * t * u])
        a, b = least(n, 1 + column * t) * push, column * n * n * tau
        k_most, k_first = s2 * n * u, k["gbend_max"] + s3 * p * k["g_max"]
        rate = b * s2 * radius
        grown = ((rate).exp() - 1) / (b * s2) if rate > arb(2) ** -100 else radius * (1 + rate)
        w = least(radius * (a + b * k_most), (a + b * k_first) * grown)
        bent = least(k_first + s2 * w, s2 * (k["g_max"] + w), k_most)
        r = least(k["adjoint_max"] + radius * (n * n * bent * tau + t * push), t * u)
        rv = s1 * w + s2 * p * k["g_max"] + radius
        skip = least(k["rvbend_max"] + s2 * rv + s3 * radius * k["data_max"] * k["rv_max"], s2 * (k["rv_max"] + rv))
        mixed = (chi_z * k["fourth_moment"]).sqrt()
        found = arb_mat(4, 4)
        found[0, 0] = 2 * g * g * r * t * states + bent * n * n * g * g * chi_z
        found[0, 1] = found[1, 0] = g * r * t * drive + bent * n * n * g * e * mixed
        found[1, 1] = bent * n * n * e * e * k["fourth_moment"] + skip * k["fourth_moment"] / root
        found[0, 2] = found[2, 0] = t * g * states
        found[1, 2] = found[2, 1] = t * drive
        found[1, 3] = found[3, 1] = drive
        whole = norm(found)
        return {"features": of_features, "all": whole}, whole

    return Layered(forward(weights), eigenvalues, high, constants, known, "features")
