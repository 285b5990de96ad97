"""Attack the certificates: random problems on which descent must keep, at every step, every promise of a HOLDS.

    python benchmarks/attack_descent.py --problems 10000 --seed 0

Every system that has a Kantorovich certificate is one row of `ROWS`; activations, widths from 1, near-duplicate rows, scales of
the inputs and the labels from 1e-6 to 1e6, and labels at a distance from the outputs that puts h around 1/2, along the
weakest direction of the tangent kernel, the strongest or any. Each form of the certificate is taken alone (first, local
constants, displacement), at its own largest step size or a share of it, and, on a share of the problems, for flow. Descent is
the one of `attack_reference.py`, which shares no code with the library. Ctrl-C prints what was found so far; the exit code is
1 after a violation. `tests/systems/test_attack.py` runs a slice. (`attack_certificates.py` attacks the rigorous mode.)
"""

import argparse
import collections
import dataclasses
import functools
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import attack_reference as reference
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from globalmin import systems
from globalmin.systems.comparison import fitted
from globalmin.theory import Kantorovich, Verdict, certify

SMOOTH = ("tanh", "softplus", "sigmoid", "erf", "gelu", "silu", "sin", "elu")
SHAPES = ((1, 1, 1), (1, 3, 2), (2, 2, 6), (3, 4, 20), (4, 6, 40))  # n, d, m
WIDER = ((1, 1, 12), (1, 3, 20), (2, 2, 40), (3, 4, 60), (4, 6, 120))  # where narrow networks are mostly dead
POOL = 12
BLOCK = 100  # problems of one network, compiled once, one after another
RUNS = 3  # compiled together: one for each form


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """A system to attack: `options` are drawn from, `constants` are what its reference needs beside the weights."""

    system: str
    activations: tuple[str, ...]
    constants: Any = lambda model, x: {}
    gains: Any = lambda model: 1
    options: tuple[dict[str, Any], ...] = ({},)
    shapes: tuple[tuple[int, int, int], ...] = SHAPES
    network: str = ""  # of the reference, if not the system's name


def _deep_constants(model, x):
    return {"scales": (model.first_scale, model.scale, float(model.skip))}


def _gated_constants(model, x):
    return {"first": model.first, "readout": model.readout, "masks": model.masks(x, model.initial_state(x))}


DEEP: dict[str, Any] = {"constants": _deep_constants, "gains": lambda model: model.depth}

ROWS = (
    Row("two-layer", SMOOTH, shapes=(*SHAPES, (4, 6, 200))),
    Row("equilibrium", ("tanh", "softplus", "erf", "sigmoid", "sin", "relu")),
    Row("implicit-relu", ("relu", "tanh", "softplus", "erf"), lambda model, x: {"gamma": model.gamma}, lambda model: 2,
        ({"gamma": 0.1}, {"gamma": 0.4})),
    Row("gated", ("relu",), _gated_constants, options=({"depth": 1}, {"depth": 2}, {"depth": 3}, {"gates": "inputs"}),
        shapes=WIDER),
    Row("gated", ("relu",), lambda model, x: {"first": model.first, "readout": model.readout},
        options=({"gates": "relu"},), shapes=WIDER, network="rectified"),
    Row("neural-ode", ("softplus", "tanh", "sin", "gelu", "relu"),
        lambda model, x: {"scales": model.scales, "step": model.horizon / model.layers},
        lambda model: model.layers + 1, ({"layers": 4}, {"layers": 4, "horizon": 0.2})),
    Row("dense", ("softplus", "tanh", "erf"), options=({"depth": 1}, {"depth": 3}), **DEEP),
    Row("resnet", ("softplus", "tanh", "gelu"), options=({"depth": 2}, {"depth": 4}), **DEEP),
    Row("conv-resnet", ("softplus", "tanh"), options=({"depth": 3, "image_shape": (3, 2)},),
        shapes=((1, 6, 1), (2, 6, 5), (4, 6, 12)), **DEEP),
)  # fmt: skip


@dataclasses.dataclass
class Problem:
    """A network on data, with everything that was drawn."""

    row: Row
    activation: str
    system: Any
    model: Any
    x: np.ndarray
    g: np.random.Generator

    @property
    def network(self) -> str:
        return self.row.network or self.row.system

    def describe(self) -> str:
        options = {k: v for k, v in self.system.describe().items() if isinstance(v, int | str)}
        return f"{options}, n, d = {self.x.shape}, m = {_width(self.model)}"


@functools.cache
def combinations(row: Row) -> list[tuple[tuple[int, int, int], str, dict[str, Any]]]:
    """The shapes, activations and options to draw from: each is compiled once, so there are at most `POOL`."""
    g = np.random.default_rng(0)
    # Rounds through the shapes, the activations shifted by one at each.
    count = min(POOL, len(row.shapes) * len(row.activations) * len(row.options))
    return [
        (
            row.shapes[k % len(row.shapes)],
            row.activations[(k % len(row.shapes) + k // len(row.shapes)) % len(row.activations)],
            row.options[g.integers(len(row.options))],
        )
        for k in range(count)
    ]


def draw(row: Row, g: np.random.Generator, combination: int | None = None) -> Problem:
    """A network with scaled weights and rows, some of them nearly equal."""
    pool = combinations(row)
    (n, d, m), activation, drawn = pool[g.integers(len(pool)) if combination is None else combination]
    options = dict(drawn)
    if row.system != "gated":
        options["activation"] = activation
    system = systems.build(row.system, **options)
    model = system.init(d, m, key=jax.random.key(int(g.integers(2**31))))
    if g.random() < 0.5:
        model = _scaled(model, g)
    x = g.standard_normal((n, d))
    if g.random() < 0.7:
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    if n > 1 and g.random() < 0.35:
        x[-1] = x[0] + 10.0 ** float(g.uniform(-12, -1)) * g.standard_normal(d)
    if g.random() < 0.4:
        x *= 10.0 ** float(g.uniform(-6, 6) if g.random() < 0.5 else g.uniform(-1, 1))
    return Problem(row, activation, system, model, x, g)


def _width(model) -> int:
    return model.readout.shape[-1]


def _scaled(model, g):
    """Weights up to 3 times larger or smaller; those that are iterated stay where there may be an equilibrium."""
    moved, fixed = eqx.partition(model, model.trainable())
    leaves, tree = jax.tree.flatten(moved)
    factors = [10.0 ** float(g.uniform(-0.5, 0.2)) for _ in leaves]
    return eqx.combine(jax.tree.unflatten(tree, [a * f for a, f in zip(leaves, factors, strict=True)]), fixed)


def labels(problem: Problem, iterate, blocks) -> np.ndarray:
    """Outputs plus a residual around the size at which h = 1/2; a few labels have nothing to do with the outputs."""
    g, n = problem.g, len(problem.x)
    if g.random() < 0.1:
        return 10.0 ** float(g.uniform(-6, 6)) * g.standard_normal(n)
    block = blocks[g.integers(len(blocks))]
    sigma = max(block.sigma.value, 1e-300)
    reach = sigma / max(block.psi(1e-6, 1e-6) / 1e-6, 1e-300)
    while math.isinf(block.psi(reach, reach)) and reach > 1e-12:  # a ball on which no pattern changes, say
        reach /= 2
    size = min(sigma * reach / 2, 1e12) * 10.0 ** float(g.uniform(-2.5, 0.5))
    vectors = np.linalg.eigh(iterate.gram)[1]
    kind = g.random()
    direction = g.standard_normal(n) if kind < 0.4 else vectors[:, 0 if kind < 0.7 else -1] * g.choice([-1, 1])
    if kind >= 0.7:  # the displacement form certifies far larger residuals along the strongest direction
        size *= 10.0 ** float(g.uniform(0, 2))
    return iterate.outputs + size * direction / np.linalg.norm(direction)


def constants(system, iterate):
    """Blocks and curvature, every Λ kept by radius: several certificates ask for the same ones."""
    blocks, curvature, _ = system.curvature(iterate)
    kept = functools.cache(functools.cache)

    def keeping(part):
        return (
            part
            if part is None or part.lipschitz is None
            else dataclasses.replace(part, lipschitz=kept(part.lipschitz))
        )

    return [keeping(block) for block in blocks], keeping(curvature)


def certificates(problem: Problem, iterate, blocks, curvature) -> list[tuple[str, Kantorovich]]:
    """Every form that holds: for descent at its own largest step size or a share, and for flow."""
    share = 1.0 if problem.g.random() < 0.5 else float(problem.g.uniform(0.02, 1))
    tried: list[tuple[str, Any, Any, Any]] = [
        ("first", [b for b in blocks if not b.along_path], curvature, None),
        ("local", [b for b in blocks if b.along_path], curvature, None),
    ]
    other = fitted(problem.system, iterate) if curvature is not None else None
    if other is not None:
        there, bend = constants(problem.system, other[0])
        tried.append(("displacement", there, bend, other[1]))
    found = []
    for form, some, bend, comparison in tried:
        if not some:
            continue
        for flow in (False, True):
            got = certify(iterate.rho, some, bend, flow=flow, comparison=comparison)
            if got.verdict is not Verdict.HOLDS:
                continue
            if not flow and share < 1:
                assert got.step_size is not None
                step = share * got.step_size
                got = certify(iterate.rho, some, bend, step_size=step, comparison=comparison)
                if got.verdict is not Verdict.HOLDS:
                    raise AssertionError(
                        f"{form}: it holds at {step / share:.6g} and not at {share:.3g} of that step size"
                    )
            found.append((form, got))
    return found


@dataclasses.dataclass
class Outcome:
    """What became of one problem: the certificates that held, and per certificate what went wrong and the margins."""

    held: list[str]
    violations: list[str]
    margins: list[dict[str, float]]
    note: str = ""


def attack(problem: Problem, flows: bool = True, chunks: int = 1) -> Outcome:
    """Certify, run, compare."""
    try:
        iterate = problem.system.iterate(problem.model, jnp.asarray(problem.x), jnp.zeros(len(problem.x)))
        blocks, curvature = constants(problem.system, iterate)
        if not blocks or not np.isfinite(iterate.outputs).all():
            return Outcome([], [], [], "no block")
        # The tangent kernel and its bounds know nothing of the labels.
        iterate.y = jnp.asarray(labels(problem, iterate, blocks))
        found = certificates(problem, iterate, blocks, curvature)
    except AssertionError as error:
        return Outcome([], [str(error)], [])
    except ArithmeticError as error:  # a certificate says that it is silent, whatever the numbers are
        return Outcome([], [f"raised {error!r}"], [])
    except ValueError as error:
        return Outcome([], [], [], str(error)[:60])
    outcome = Outcome([f"{form}{' flow' if c.flow else ''}" for form, c in found], [], [])
    for flow in (False, True):
        group = [(form, c) for form, c in found if c.flow is flow]
        if group and (flows or not flow):
            _run(problem, np.asarray(iterate.y), flow, group, outcome, 1 if flow else chunks)
    return outcome


def _run(problem, y, flow, group, outcome, chunks):
    p, fixed, c = _parts(problem)
    x = jnp.asarray(problem.x)
    z, left = reference.equilibrium(problem.network, problem.activation, {**p, **fixed}, c, x, fixed["gains"][0])
    if not left < 1e-9:
        outcome.violations.append(f"no equilibrium at the start: {float(left):.3g} of its equation is left")
        return
    # A flow's steps are 1/10 of 1/λ_max: the integrator's error, of relative size (1/10)^5/120, is granted below.
    etas = [0.1 / (got.beta or _top(problem, y)) ** 2 if flow else got.step_size for _, got in group]
    etas = np.array((etas + etas[:1] * RUNS)[:RUNS])
    many = [jax.tree.map(lambda a: jnp.broadcast_to(a, (RUNS, *a.shape)), tree) for tree in (p, z)]
    records = []
    for _ in range(chunks):
        many, record = reference.run(
            problem.network, problem.activation, flow, p, many[0], fixed, c, x, jnp.asarray(y), many[1], etas
        )
        records.append(record)
    joined = reference.Record(
        *(np.concatenate([np.asarray(a) for a in part], axis=1) for part in zip(*records, strict=True))
    )
    for i, (form, got) in enumerate(group):
        one = reference.Record(*(part[i] for part in joined))
        wrong, margins = compare(got, one, float(etas[i]))
        outcome.margins.append(margins)
        if wrong:
            outcome.violations.append(f"{form}{' flow' if flow else ''}: {wrong}")


def _top(problem, y) -> float:
    iterate = problem.system.iterate(problem.model, jnp.asarray(problem.x), jnp.asarray(y))
    return math.sqrt(max(iterate.lambda_max.upper, 1e-300))


def _parts(problem):
    """Trained weights, the others with the gains, and the constants, by the names of the model's fields."""
    model = problem.model
    moved, _ = eqx.partition(model, model.trainable())
    weights = {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
    trained = {f.name: getattr(moved, f.name) for f in dataclasses.fields(model)}
    p = {k: v for k, v in trained.items() if eqx.is_array(v)}
    c = problem.row.constants(model, jnp.asarray(problem.x))
    fixed = {k: v for k, v in weights.items() if eqx.is_inexact_array(v) and k not in p and k not in c}
    fixed["gains"] = jnp.asarray(reference.gains(problem.row.gains(model), _width(model)))
    return p, fixed, c


def compare(got: Kantorovich, record: reference.Record, eta: float) -> tuple[str, dict[str, float]]:
    """(the first promise that a run broke, or ""; how near it came to breaking each).

    Rounding, `floor` per step: a step's residual may be larger by the rounding of both its ends. In the proof's sum
    ρ_k + c E(l_k) ≤ ρ_0 the floors add up, and E grows by at least σ_* per unit, so the path may be longer by what they
    add up to over cσ_* (twice that, for E is concave), and σ_min smaller by Λ times that. The Jacobian itself is good to
    1e-11 of its norm: products of at most 200 terms round by 1e-13, and the factors that carry that on are below 100.
    Below 100 floors nothing is compared.
    """
    assert got.path is not None
    assert got.radius is not None
    assert got.sigma_star is not None
    assert got.rate is not None
    rate, c = (math.exp(-eta * got.sigma_star**2), 1.0) if got.flow else (got.rate, got.c or 1.0)
    margins: dict[str, float] = dict.fromkeys(("loss", "path", "radius", "sigma"), 0.0)
    rounding = gone = 0.0
    for k, (rho, length, distance, sigma, top, floor, left, size) in enumerate(zip(*record, strict=True)):
        if not rho > 100 * floor:
            if not np.isfinite(rho):
                return f"step {k}: the residual is {rho}", margins
            break
        rounding += 2 * floor
        grace = 2 * rounding / (c * got.sigma_star) + 1e-9 * got.path + (k + 1) * np.finfo(float).eps * size
        integrator = 4 * (eta * top**2) ** 5 / 120 if got.flow else 0.0
        if left > 1e-9:
            return f"step {k}: no equilibrium, {left:.3g} of its equation is left", margins
        room = got.sigma_star - 1e-11 * top - (got.lipschitz or 0.0) * grace
        checks = {
            "path": (gone, got.path, grace + integrator * got.path),
            "radius": (distance, got.radius, grace + integrator * got.radius),
            "sigma": (got.sigma_star, sigma, got.sigma_star - room),
        }
        if k + 1 < len(record.rho):
            after, next_floor = record.rho[k + 1], record.floor[k + 1]
            checks["loss"] = (after, rate * rho, 2 * (floor + next_floor) + (1e-11 + integrator) * rho)
        for name, (value, bound, granted) in checks.items():
            if not value <= bound + granted:
                return f"step {k}: {name} {value:.12g} against {bound:.12g} (granted {granted:.3g})", margins
            margins[name] = max(margins[name], float(value / (bound + granted)) if bound + granted > 0 else 0.0)
        gone += length
    return "", margins


class Tally:
    """Counts per system."""

    def __init__(self):
        self.counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self.margins: dict[str, dict[str, float]] = collections.defaultdict(lambda: collections.defaultdict(float))
        self.violations: list[str] = []

    def add(self, name: str, outcome: Outcome, where: str) -> None:
        counts = self.counts[name]
        counts["problems"] += 1
        counts["certified"] += bool(outcome.held)
        counts["compared"] += len(outcome.margins)
        counts["refused"] += bool(outcome.note)
        for form in outcome.held:
            counts[form] += 1
        for margins in outcome.margins:
            for k, v in margins.items():
                self.margins[name][k] = max(self.margins[name][k], v)
        for violation in outcome.violations:
            counts["violations"] += 1
            self.violations.append(f"{where}: {violation}")
            print(self.violations[-1], flush=True)

    def write(self, path: str | None) -> None:
        """Everything as JSON, if a file is named."""
        if path is not None:
            found = {"counts": self.counts, "margins": self.margins, "violations": self.violations}
            Path(path).write_text(json.dumps(found, indent=1))

    def table(self) -> str:
        names = ("problems", "refused", "certified", "first", "local", "displacement", "first flow", "local flow",
                 "displacement flow", "compared", "violations")  # fmt: skip
        rows = [" | ".join(("system", *names, "nearest: loss", "path", "radius", "sigma"))]
        for system, counts in self.counts.items():
            near = (f"{self.margins[system][k]:.6f}" for k in ("loss", "path", "radius", "sigma"))
            rows.append(" | ".join((system, *(str(counts[k]) for k in names), *near)))
        return "\n".join(rows)


def one(seed: int, k: int) -> tuple[Row, Outcome, str]:
    """Problem k of a seed, whatever was run before it."""
    g = np.random.default_rng((seed, k))
    block = k // BLOCK
    row = ROWS[block % len(ROWS)]
    problem = draw(row, g, block // len(ROWS) % len(combinations(row)))
    outcome = attack(problem, flows=k % 5 == 0, chunks=8 if k % 23 == 0 else 1)
    return row, outcome, f"problem {seed}/{k} ({problem.describe()})"


def main() -> int:
    """Print every violation, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first problem")
    parser.add_argument("--json", help="file for the counts")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    tally, started = Tally(), time.monotonic()
    try:
        for done, k in enumerate(range(arguments.first, arguments.first + arguments.problems), start=1):
            row, outcome, where = one(arguments.seed, k)
            tally.add(row.network or row.system, outcome, where)
            if (k + 1) % BLOCK == 0:
                jax.clear_caches()  # compiled programs are not used again and do not fit into memory all together
            if done % 50 == 0:
                tally.write(arguments.json)
                certified = sum(c["certified"] for c in tally.counts.values())
                print(f"{done} problems, {certified} certified, {len(tally.violations)} violations, "
                      f"{time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)  # fmt: skip
    except KeyboardInterrupt:
        print("interrupted")
    print(tally.table())
    tally.write(arguments.json)
    return 1 if tally.violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
