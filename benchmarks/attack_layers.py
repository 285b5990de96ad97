"""The 300-bit reference of gated networks, Neural ODEs and deep networks, and of local constants, for the rigorous mode.

Every network is written once more, as one forward pass in Arb at 300 bits. The Jacobian is that pass differenced at 2^-90,
entry by entry of the weights: no chain rule, no Gram matrix by layers. The gradients with respect to states that Λ is
made of are differences too. The constants are written from docs/theory, and share no code with either program.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from attack_certificates import derivatives, matrix, spectrum
from flint import arb, arb_mat

STEP = arb(2) ** -90
ACTIVATIONS = ("tanh", "softplus", "sigmoid", "erf", "gelu", "sin")


def suprema(name: str) -> tuple[Any, Any, Any]:
    """sup|φ′|, sup|φ″|, sup|φ‴|."""
    three, pi, e = arb(3).sqrt(), arb.pi(), arb.const_e()
    if name == "gelu":
        z = ((7 - arb(33).sqrt()) / 2).sqrt()
        density = (-z * z / 2).exp() / (2 * pi).sqrt()
        return derivatives(name, arb(2).sqrt())[1], 2 / (2 * pi).sqrt(), abs(z * (z * z - 4) * density)
    return {
        "tanh": (arb(1), 4 / (3 * three), arb(2)),
        "softplus": (arb(1), arb(1) / 4, three / 18),
        "sigmoid": (arb(1) / 4, three / 18, arb(1) / 8),
        "erf": (2 / pi.sqrt(), 4 / (2 * pi * e).sqrt(), 4 / pi.sqrt()),
        "sin": (arb(1), arb(1), arb(1)),
        "relu": (arb(1), None, None),
    }[name]


def second(name: str, z: Any) -> Any:
    """φ″ as a difference of φ′."""
    return (derivatives(name, z + STEP)[1] - derivatives(name, z - STEP)[1]) / (2 * STEP)


def entrywise(f: Callable[..., Any], *parts: Any) -> Any:
    """f of every entry."""
    rows, columns = parts[0].nrows(), parts[0].ncols()
    return arb_mat(rows, columns, [f(*e) for e in zip(*(p.entries() for p in parts), strict=True)])


def value(name: str, a: Any) -> Any:
    """φ of a matrix."""
    return entrywise(lambda z: derivatives(name, z)[0], a)


def slope(name: str, a: Any) -> Any:
    """φ′ of a matrix."""
    return entrywise(lambda z: derivatives(name, z)[1], a)


def length(parts: Any) -> Any:
    """√Σ v²."""
    return sum((v * v for v in parts), arb(0)).nonnegative_part().sqrt()


def rows_max(a: Any) -> Any:
    """The largest norm of a row."""
    return max((length(row) for row in a.tolist()), key=lambda v: v.mid())


def entry_max(a: Any) -> Any:
    """max |a_ij|."""
    return max((abs(v) for v in a.entries()), key=lambda v: v.mid())


def norm(a: Any) -> Any:
    """‖A‖."""
    short = a if a.nrows() <= a.ncols() else a.transpose()
    return spectrum(short * short.transpose())[-1].nonnegative_part().sqrt()


@dataclasses.dataclass
class Layered:
    """Numbers at 300 bits. `constants(R)`: Λ_* of each block, and Λ (None: nothing is proven on that ball)."""

    outputs: list[Any]
    eigenvalues: dict[str, Any]  # λ_min by block
    lambda_max: Any
    constants: Callable[[Any], tuple[dict[str, Any], Any] | None]
    quantities: dict[str, Any]

    def rho(self, y: np.ndarray) -> Any:
        """‖f − y‖."""
        return length([u - arb(v) for u, v in zip(self.outputs, y.tolist(), strict=True)])

    def at(self, block: str, rho: Any, eta: float | None, radius: Any) -> Any | None:
        """R_* on the ball of that radius, `None` where an inequality of the theorem fails."""
        found, lam = self.constants(radius), self.eigenvalues[block]
        if found is None or not lam > 0:
            return None
        steep, whole = found[0][block], found[1]
        if steep is None:
            return None
        if eta is not None and whole is None:
            return None
        c = arb(1)
        if eta is not None:
            beta = self.lambda_max.sqrt() + whole * radius
            c = 1 - arb(eta) * (beta * beta + whole * rho) / 2
        if not c > 0 or not 2 * steep * rho < c * lam:
            return None
        return 2 * rho / (c * (lam.sqrt() + (lam - 2 * steep * rho / c).sqrt()))

    def holds_at(self, block: str, rho: Any, eta: float | None, radius: float) -> bool:
        """Whether the theorem's inequalities hold on that ball."""
        reached = self.at(block, rho, eta, arb(radius))
        return reached is not None and bool(reached <= arb(radius))

    def certifies(self, rho: Any, eta: float | None) -> bool:
        """Whether they hold on some ball: R_*(R) from below, a little further every time."""
        for block, lam in self.eigenvalues.items():
            if not lam > 0:
                continue
            radius = rho / lam.sqrt()
            for k in range(60):
                reached = self.at(block, rho, eta, radius)
                if reached is None:
                    break
                if reached <= radius:
                    return True
                radius = (reached * (1 + arb(2) ** (k - 60))).mid()
        return False


def jacobian(forward: Callable[..., list[Any]], weights: dict[str, Any], trained: list[str]) -> Any:
    """∂f/∂θ by differences."""
    columns = []
    for name in trained:
        for i, j in itertools.product(range(weights[name].nrows()), range(weights[name].ncols())):
            ends = []
            for sign in (1, -1):
                moved = arb_mat(weights[name])
                moved[i, j] = moved[i, j] + sign * STEP
                ends.append(forward({**weights, name: moved}))
            columns.append([(u - v) / (2 * STEP) for u, v in zip(*ends, strict=True)])
    return arb_mat(columns).transpose()


def by_state(tail: Callable[[Any], list[Any]], state: Any) -> Any:
    """∂f_i/∂(row i) by differences; sample i depends on its own row alone."""
    found = arb_mat(state.nrows(), state.ncols())
    for j in range(state.ncols()):
        ends = []
        for sign in (1, -1):
            moved = arb_mat(state)
            for i in range(state.nrows()):
                moved[i, j] = moved[i, j] + sign * STEP
            ends.append(tail(moved))
        for i, (u, v) in enumerate(zip(*ends, strict=True)):
            found[i, j] = (u - v) / (2 * STEP)
    return found


def measured(j: Any) -> tuple[Any, Any]:
    """λ_min and λ_max of J Jᵀ."""
    values = spectrum(j * j.transpose())
    return values[0], values[-1]


def gated_truth(model: Any, x: np.ndarray) -> Layered:
    """The gated network, or the ReLU one with the same weights (where nothing is asked about balls)."""
    c, b = matrix(np.asarray(model.first)), matrix(np.asarray(model.readout)).transpose()
    stack, rows = np.asarray(model.layers), matrix(x)
    depth = len(stack)
    weights = {str(k): matrix(stack[k]) for k in range(depth)}
    start = value("relu", rows * c.transpose())
    gates, masks = getattr(model, "gates", None), []
    if gates is not None:
        z = start
        for k in range(depth):
            if hasattr(gates, "left"):
                before = z * matrix(np.asarray(gates.right[k])).transpose()
                before = before * matrix(np.asarray(gates.left[k])).transpose()
            elif gates.matrices.shape[2] == x.shape[1] and type(gates).__name__ == "InputGates":
                before = rows * matrix(np.asarray(gates.matrices[k])).transpose()
            else:
                before = z * matrix(np.asarray(gates.matrices[k])).transpose()
            masks.append(slope("relu", before))
            z = value("relu", before)

    def run(weights: dict[str, Any]) -> tuple[list[Any], list[Any]]:
        states, opened = [start], []
        for k in range(depth):
            before = states[-1] * weights[str(k)].transpose()
            if not model.final and k == depth - 1:
                opened.append(entrywise(lambda v: arb(1), before))
            else:
                opened.append(masks[k] if masks else slope("relu", before))
            states.append(entrywise(lambda u, v: u * v, before, opened[k]))
        return states, opened

    states, opened = run(weights)
    low, high = measured(jacobian(lambda w: (run(w)[0][-1] * b).entries(), weights, list(weights)))
    back = [entrywise(lambda u, v: u * v, arb_mat([b.entries()] * len(x)), opened[-1])]
    for k in range(depth - 1, 0, -1):
        back.insert(0, entrywise(lambda u, v: u * v, back[0] * weights[str(k)], opened[k - 1]))
    norms = [norm(w) for w in weights.values()]

    # Every set of at least two layers in turn.
    best: dict[tuple[int, ...], Any] = {}
    for q in range(2, depth + 1):
        for chosen in itertools.combinations(range(depth), q):
            right, left = states[chosen[0]], back[chosen[-1]]
            kernel = entrywise(lambda u, v: u * v, right * right.transpose(), left * left.transpose())
            size = spectrum(kernel)[-1].nonnegative_part().sqrt()
            for k in set(range(chosen[0] + 1, chosen[-1])) - set(chosen):
                size = size * norms[k]
            best[chosen] = size
    pairs = arb_mat(depth, depth)
    for (k, j), size in ((s, v) for s, v in best.items() if len(s) == 2):
        pairs[k, j] = pairs[j, k] = size
    m2 = norm(pairs) if depth > 1 else arb(0)
    beta = {
        q: math.comb(depth, q)
        * max((v for s, v in best.items() if len(s) == q), key=lambda v: v.mid())
        / arb(depth).sqrt() ** q
        for q in range(3, depth + 1)
    }

    def constants(radius: Any) -> tuple[dict[str, Any], Any]:
        chord = sum((q * v * radius ** (q - 2) for q, v in beta.items()), m2)
        return {"all": chord}, sum((q * (q - 1) * v * radius ** (q - 2) for q, v in beta.items()), m2)

    known = {"lambda_min_all": low, "lambda_max": high}
    return Layered((states[-1] * b).entries(), {"all": low}, high, constants, known)


def neural_ode_truth(model: Any, x: np.ndarray) -> Layered:
    """The residual network with tied weights that Euler's method makes of the Neural ODE."""
    name, count = model.activation.name, model.layers
    m, d = model.inject.shape
    into, unit, out = (
        arb(float(s)) / arb(k).sqrt() for s, k in ((model.sigma_u, d), (model.sigma_w, m), (model.sigma_v, m))
    )
    dt, rows = arb(float(model.horizon)) / count, matrix(x)
    arrays = (model.inject, model.hidden, np.asarray(model.readout)[:, None])
    weights = {k: matrix(np.asarray(a)) for k, a in zip("uwv", arrays, strict=True)}

    def steps(h: Any, w: dict[str, Any], number: int) -> list[Any]:
        found = [h]
        for _ in range(number):
            found.append(found[-1] + value(name, found[-1]) * w["w"].transpose() * (dt * unit))
        return found

    def read(h: Any, w: dict[str, Any]) -> list[Any]:
        return (value(name, h) * w["v"] * out).entries()

    def forward(w: dict[str, Any]) -> list[Any]:
        return read(steps(rows * w["u"].transpose() * into, w, count)[-1], w)

    j = jacobian(forward, weights, ["u", "w", "v"])
    low, high = measured(j)
    states = steps(rows * weights["u"].transpose() * into, weights, count)
    last = value(name, states[-1]) * out
    smooth = suprema(name)[1] is not None
    lams = [
        by_state(lambda h, k=k: read(steps(h, weights, count - k)[-1], weights), states[k]) for k in range(count + 1)
    ]
    features = [value(name, h) for h in states]
    w_norm, x_norm, x_max = norm(weights["w"]), norm(rows), rows_max(rows)
    v_max = entry_max(weights["v"])
    column = weights["v"].entries()
    eigenvalues = {"readout": spectrum(last * last.transpose())[0]}
    known = {"lambda_min_readout": eigenvalues["readout"], "w_norm": w_norm, "data_norm": x_norm, "data_max": x_max}
    known |= {f"feature_layer@{k}": norm(features[k]) for k in range(count)}
    known |= {f"feature_row@{k}": rows_max(features[k]) for k in range(count)}
    if smooth:
        eigenvalues["all"] = low
        known |= {"lambda_min_all": low, "lambda_max": high, "readout_max": v_max}
        bends = [entrywise(lambda z: second(name, z), h) for h in states]
        at_top = entry_max(arb_mat([[v * e for v, e in zip(column, row, strict=True)] for row in bends[-1].tolist()]))
        backs = [lams[k + 1] * weights["w"] * unit for k in range(count)]
        known |= {"readout_bend": at_top, **{f"adjoint_row@{k}": rows_max(v) for k, v in enumerate(lams)}}
        known |= {f"back_max@{k}": entry_max(v) for k, v in enumerate(backs)}
        known |= {f"back_bend@{k}": entry_max(entrywise(lambda u, v: u * v, backs[k], bends[k])) for k in range(count)}
    s1, s2, s3 = suprema(name)

    def constants(radius: Any) -> tuple[dict[str, Any], Any]:
        e = 1 + dt * unit * s1 * (w_norm + radius)
        paths = []
        for kind, first in (("feature_layer", x_norm), ("feature_row", x_max)):
            a, u = [arb(0)], [into * first]
            total = [u[0]]
            for k in range(count):
                a.append(e * a[-1] + dt * unit * (known[f"{kind}@{k}"] + s1 * radius * total[-1]))
                u.append(e * u[-1])
                total.append(length([a[-1], u[-1]]))
            paths.append(total)
        p, pi = paths
        side = out * s1 * p[-1]
        if not smooth:
            return {"readout": side}, None
        v_bend = min(
            s2 * (v_max + radius),
            known["readout_bend"] + s2 * radius + s3 * radius * pi[-1] * v_max,
            key=lambda v: v.mid(),
        )
        q, corner = out * length([s1, v_bend * pi[-1]]), out * v_bend * pi[-1] * p[-1]
        for k in range(count - 1, -1, -1):
            lam = known[f"adjoint_row@{k + 1}"]
            change = unit * (w_norm * radius * q + radius * (radius * q + lam))
            bend = min(
                s2 * (known[f"back_max@{k}"] + change),
                known[f"back_bend@{k}"] + s2 * change + s3 * radius * pi[k] * known[f"back_max@{k}"],
                key=lambda v: v.mid(),
            )
            source = unit * s1 * (lam + radius * q)
            corner += dt * (2 * source + bend * pi[k]) * p[k]
            q = e * q + dt * (source + bend * pi[k])
        whole = norm(arb_mat([[corner, side], [side, arb(0)]]))
        return {"readout": side, "all": whole}, whole

    return Layered(forward(weights), eigenvalues, high, constants, known)
