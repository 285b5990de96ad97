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
SLOPE01 = ("tanh", "softplus", "sigmoid", "relu")


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


INTERVALS = 64
"""Of the reference's own grid."""
CELLS = 8
"""Places from which on half the path may be charged, where that is bounded from above."""


@dataclasses.dataclass
class Layered:
    """Numbers at 300 bits. `constants(R)`: Λ_* of each block, and Λ (None: nothing is proven on that ball)."""

    outputs: list[Any]
    eigenvalues: dict[str, Any]  # λ_min by block
    lambda_max: Any
    constants: Callable[[Any], tuple[dict[str, Any], Any] | None]
    quantities: dict[str, Any]
    apart: str | None = None  # the block that only the other parameters move
    kept: dict[Any, Any] = dataclasses.field(default_factory=dict)

    def rho(self, y: np.ndarray) -> Any:
        """‖f − y‖."""
        return length([u - arb(v) for u, v in zip(self.outputs, y.tolist(), strict=True)])

    def at(self, radius: Any) -> tuple[dict[str, Any], Any] | None:
        """The constants, remembered; beyond 0."""
        radius = radius if radius > 0 else arb(2) ** -200
        key = radius.str(60)
        if key not in self.kept:
            self.kept[key] = self.constants(radius)
        return self.kept[key]

    def holds_at(self, proof: Any, rho: Any, eta: float | None) -> bool:
        """Whether the theorem's inequalities hold with a certificate's nodes, of its blocks alone."""
        nodes, ball, blocks = list(proof.nodes), proof.ball, proof.block.split(", ")
        if nodes[0] != 0 or ball not in nodes or sorted(set(nodes)) != nodes:
            return False
        if proof.half is not None and (proof.half[0] != self.apart or proof.half[1] not in nodes):
            return False
        start = None if proof.half is None else arb(proof.half[1])
        sums = self._sums(blocks, eta, [arb(q) for q in nodes[: nodes.index(ball) + 1]], start)
        return len(sums) == nodes.index(ball) and self._reached(sums[-1], eta, arb(ball)) >= rho

    def certifies(self, rho: Any, eta: float | None) -> bool:
        """Whether they hold on the reference's grid, which is no finer than a certificate's."""
        return bool(self.limits(eta)[0] >= rho)

    def limits(self, eta: float | None) -> tuple[Any, Any]:
        """The largest residual for which they hold on the reference's grid, half the path charged from 0 on or nowhere; and one
        above which they hold on no grid, wherever that begins."""
        if ("limits", eta) not in self.kept:
            self.kept["limits", eta] = self._limits(eta)
        return self.kept["limits", eta]

    def _limits(self, eta: float | None) -> tuple[Any, Any]:
        blocks = [name for name, value in self.eigenvalues.items() if value > 0]
        if not blocks:
            return arb(-1), arb(0)
        starts: list[Any] = [None] if self.apart not in blocks else [None, arb(0)]
        least, most = arb(-1), arb(0)
        for start in starts:
            end, endless = self._end(blocks, start)
            nodes = [(end * j / INTERVALS).mid() for j in range(INTERVALS + 1)]
            for sums, node in zip(self._sums(blocks, eta, nodes, start), nodes[1:], strict=False):
                least = max(least, self._reached(sums, eta, node), key=lambda v: v.mid())
            # From above: from a cell of the grid on, the blocks up to its farther end, half the path from its nearer end.
            cells = [(None, None)] if start is None else list(itertools.pairwise(nodes[:: INTERVALS // CELLS]))
            if start is not None and not endless:
                end, _ = self._end(blocks, None)
                cells = [((end * j / CELLS).mid(), (end * (j + 1) / CELLS).mid()) for j in range(CELLS)]
            for near, far in cells:
                most = max(most, self._most(blocks, eta, near, far), key=lambda v: v.mid())
            if endless:
                most = arb(2) ** 1000
        return least, most

    def _most(self, blocks: list[str], eta: float | None, near: Any, far: Any) -> Any:
        end, _ = self._end(blocks, near)
        nodes = [(end * j / INTERVALS).mid() for j in range(INTERVALS + 1)]
        if far is not None:
            nodes = sorted([*nodes, far.mid()], key=float)
        most, below = arb(0), self._sums(blocks, eta, nodes, near)
        for k, (total, _, _) in enumerate(self._sums(blocks, eta, nodes, near, above=True, after=far), start=1):
            # Λ of a ball between two nodes is at least that of the nearer one, and ∫e at least its sum from below.
            found = self.at(nodes[k - 1])
            share = arb(0) if eta is None or found is None else arb(eta) * found[1] / 2
            plain = below[k - 2][1] if near is None and 2 <= k <= len(below) + 1 else arb(0)
            most = max(most, total / (1 + share * plain), key=lambda v: v.mid())
        return most

    def _end(self, blocks: list[str], start: Any) -> tuple[Any, bool]:
        """Where σ_min is no longer shown positive, and whether that is nowhere."""
        low, high = -80.0, 60.0  # of its log₂
        for _ in range(60):
            middle = (low + high) / 2
            at = arb(2) ** middle
            alive = self.best(blocks, at, at, start if start is not None and at > start else None)
            low, high = (middle, high) if alive is not None and alive > 0 else (low, middle)
        return arb(2) ** low, high == 60.0

    def _reached(self, sums: tuple[Any, Any, Any], eta: float | None, radius: Any) -> Any:
        """The largest ρ with ∫ce ≥ ρ and c > 0: G falls with ρ along a line."""
        total, plain, least = sums
        if eta is None:
            return total
        found = self.at(radius)
        assert found is not None
        share = arb(eta) * found[1] / 2
        if not least > 0:
            return arb(-1)
        reached = total / (1 + share * plain)
        # At c = 0 exactly nothing is certified: a little less.
        return reached if not share * reached >= least else least / share * (1 - arb(2) ** -200)

    def _line(self, block: str, ball: Any, start: Any) -> tuple[Any, Any] | None:
        """Height and slope of σ_b − Λ_b p with the constants of a ball; from `start` on of σ_b − Λ_b (p + start)/2."""
        found = self.at(ball if start is None else (ball + start) / 2)
        steep = None if found is None else found[0].get(block)
        if steep is None:
            return None
        sigma = self.eigenvalues[block].sqrt()
        return (sigma, steep) if start is None else (sigma - steep * start / 2, steep / 2)

    def best(self, blocks: list[str], at: Any, ball: Any, start: Any) -> Any | None:
        """The largest of the lines at a point."""
        names = blocks if start is None else [self.apart]
        lines = [line for name in names if name is not None and (line := self._line(name, ball, start)) is not None]
        return max((height - steep * at for height, steep in lines), key=lambda v: v.mid()) if lines else None

    def _sums(
        self,
        blocks: list[str],
        eta: float | None,
        nodes: list[Any],
        start: Any,
        *,
        above: bool = False,
        after: Any = None,
    ) -> list[tuple[Any, Any, Any]]:
        """Node by node ∫(1 − ηβ²/2)e, ∫e and the smallest 1 − ηβ²/2, as far as there are any.

        With the constants of each interval's farther end by Gauss's rule of two points, which is exact for cubics; or, from
        above, with those of its nearer end. Half the path is charged from `start` on; from above others serve up to `after`.
        """
        step, top, gauss = arb(0) if eta is None else arb(eta), self.lambda_max.sqrt(), 1 / arb(3).sqrt()
        total, plain, least, found = arb(0), arb(0), arb(1), []
        for p, q in itertools.pairwise(nodes):
            ball = p if above else q
            known = None if eta is None else self.at(ball)
            if eta is not None and (known is None or known[1] is None):
                break
            begun = start is not None and bool(p >= (start if after is None else after))
            ends = [self.best(blocks, t, ball, start if begun else None) for t in (p, q)]
            if above and start is not None and not begun:
                # Half the path may be charged from somewhere in the cell on.
                others = [self.best(blocks, t, ball, start) if p >= start else None for t in (p, q)]
                ends = [u if v is None else v if u is None else u.max(v) for u, v in zip(ends, others, strict=True)]
            if ends[1] is None or (not above and not ends[1] > 0):
                break
            whole, middle, half = arb(0) if known is None else known[1], (p + q) / 2, (q - p) / 2

            def first(t: Any, whole: Any = whole) -> Any:
                return 1 - step * (top + whole * t) * (top + whole * t) / 2

            if above and not first(p) > 0:
                break
            areas = []
            for b in [self.apart] if begun else blocks:
                line = None if b is None else self._line(b, ball, start if begun else None)
                if line is not None:
                    places = middle - half * gauss, middle + half * gauss
                    e, c = [line[0] - line[1] * t for t in places], [first(t) for t in places]
                    areas.append((half * (c[0] * e[0] + c[1] * e[1]), half * (e[0] + e[1])))
            charged, area = max(areas, key=lambda v: v[1].mid())
            if above and (len(areas) > 1 or start is not None or not first(q) > 0):
                # The largest of some lines is convex, and below its chord.
                charged = first(p) * half * (ends[0] + ends[1].max(arb(0)))
            total, plain = total + charged, plain + area
            least = first(q) if first(q).mid() < least.mid() else least
            found.append((total, plain, least))
        return found


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


def relative(gram: Any, products: Any) -> Any:
    """‖K^{-1/2}A‖ from K and AAᵀ, by a Cholesky factor of K."""
    n = gram.nrows()
    low = arb_mat(n, n)
    for i in range(n):
        for j in range(i + 1):
            rest = gram[i, j] - sum((low[i, k] * low[j, k] for k in range(j)), arb(0))
            low[i, j] = rest.sqrt() if i == j else rest / low[j, j]
    inverse = low.inv()
    return spectrum(inverse * products * inverse.transpose())[-1].nonnegative_part().sqrt()


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
    half = name in SLOPE01 and eigenvalues["readout"] > 0
    if half:
        gram = last * last.transpose()
        ahead = weights["w"] * (dt * unit / 2)
        for i in range(m):
            ahead[i, i] += 1
        power, powers = weights["w"], []
        for k in range(count):
            known[f"feature_relative@{k}"] = relative(gram, features[k] * features[k].transpose())
            powers.append(norm(power))
            power = ahead * power
            if 0 < k < count:
                known[f"power_norm@{k}"] = powers[k]
        known |= {"data_relative": relative(gram, rows * rows.transpose()), "ahead_norm": norm(ahead)}

    def by_halves(radius: Any) -> Any:
        """The recursion of theory/curvature/neural_ode.py for dU alone and for dW alone, every power measured (L ≤ 4)."""
        alpha, gammas = known["ahead_norm"], [unit * powers[0]]
        for k in range(1, count):
            gammas.append(min(alpha * gammas[-1], unit * powers[k], key=lambda v: v.mid()))
        found = []
        for which in ("u", "w"):
            c = [into * x_norm if which == "u" else arb(0)]
            v = [arb(0)]
            seen = into * known["data_relative"] if which == "u" else arb(0)
            for k in range(count):
                pushed = arb(0) if which == "u" else dt * unit * known[f"feature_layer@{k}"]
                seen = alpha * seen + (arb(0) if which == "u" else dt * unit * known[f"feature_relative@{k}"])
                v.append(
                    dt * sum((
                        (gammas[k - j] / 2 + unit * radius * alpha ** (k - j)) * (c[j] + v[j]) for j in range(k + 1)
                    ), arb(0))
                )  # fmt: skip
                c.append(alpha * c[-1] + pushed)
            found.append(eigenvalues["readout"].sqrt() * out * seen / 2 + out * (v[-1] + c[-1] / 2))
        return length(found)

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
        readout = min(side, by_halves(radius), key=lambda v: v.mid()) if half else side
        if not smooth:
            return {"readout": readout}, None
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
        return {"readout": readout, "all": whole}, whole

    return Layered(forward(weights), eigenvalues, high, constants, known, "readout")
