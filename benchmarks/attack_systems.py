"""Attack the rigorous mode on layered networks and on local constants: never a yes where 300 bits say no.

    python benchmarks/attack_systems.py --problems 1000 --seed 0 --system gated

Random small networks of gated, neural-ode, dense, resnet, conv-resnet, equilibrium, implicit-relu, and two-layer with local
constants ("local"): widths from 1, near-duplicate and duplicate rows, scales of data and weights, and residuals that put h
near 1/2, to one part in 10^12. Compared with attack_layers.py, attack_deep.py and attack_solved.py are the verdict, every
interval, the theorem's inequalities on the certificate's own nodes, and (on a share of those that hold) `verify`.
`tests/rigorous/test_attack_systems.py` runs a slice.
"""

import argparse
import collections
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import equinox as eqx
import flint
import jax
import jax.numpy as jnp
import numpy as np
from attack_certificates import BITS
from attack_deep import deep_truth, local_truth
from attack_layers import ACTIVATIONS, Layered, gated_truth, neural_ode_truth
from attack_solved import equilibrium_truth, implicit_truth
from flint import arb

SYSTEMS = ("gated", "neural-ode", "dense", "resnet", "conv-resnet", "local", "equilibrium", "implicit-relu")


@dataclasses.dataclass
class Problem:
    """A network on data, at 300 bits beside it."""

    system: Any
    model: Any
    x: np.ndarray
    y: np.ndarray
    eta: float | None  # None: flow
    truth: Layered


def network(name: str, g: np.random.Generator, **fixed: Any) -> tuple[Any, Any, np.ndarray]:
    """A random system, its network and inputs; `fixed` options are kept."""
    from globalmin import systems

    n, d, m = int(g.integers(1, 5)), int(g.integers(1, 5)), int(g.choice([1, 2, 3, 5, 8]))
    options: dict[str, Any] = {"activation": str(g.choice(ACTIVATIONS))}
    if name == "gated":
        m = int(g.choice([2, 4, 8, 12]))
        options = {"depth": int(g.integers(1, 5)), "gates": str(g.choice(["chain", "inputs", "low-rank"]))}
    elif name == "neural-ode":
        sigmas = {k: float(10.0 ** g.uniform(-1, 0.3)) for k in ("sigma_w", "sigma_v", "horizon")}
        options |= {"layers": int(g.integers(1, 5)), **sigmas}
        if g.random() < 0.15:
            options["activation"] = "relu"
    elif name in ("dense", "resnet"):
        options["depth"] = int(g.integers(1 if name == "dense" else 2, 4))
    elif name == "conv-resnet":
        shape = [(3, 2), (4, 1), (3, 3, 1), (2, 3, 2)][int(g.integers(4))]
        shape = fixed.get("image_shape", shape)
        n, m, d = int(g.integers(1, 4)), int(g.choice([1, 2, 3])), int(np.prod(shape))
        options |= {"depth": 2, "filter_size": 1 if min(shape[:-1]) < 3 else 3, "image_shape": shape}
    elif name in ("equilibrium", "implicit-relu"):  # each shape compiles a solver
        n, d, m = [(1, 2, 3), (3, 3, 4), (2, 1, 1)][int(g.integers(3))]
        options = {"activation": str(g.choice(["tanh", "softplus", "sin", "relu"], p=[0.4, 0.3, 0.15, 0.15]))}
    elif name == "local":
        n, m = int(g.integers(2, 6)), int(g.choice([3, 30, 200]))
    if name in ("resnet", "conv-resnet") and "c_res" not in options:
        options["c_res"] = float(g.uniform(0.1, 0.9))
    system = systems.build("two-layer" if name == "local" else name, **{**options, **fixed})
    x = g.standard_normal((n, d))
    if name == "local":
        x = g.standard_normal(d) + g.choice([0.1, 0.3, 1.0]) * x
    x *= 10.0 ** float(g.choice([0, 0, 0, -1, 1])) / (np.linalg.norm(x, axis=1).max())
    if n > 1 and g.random() < 0.3:
        x[-1] = x[0] * (1 + float(g.choice([0.0, 1e-15, 1e-9, 1e-5]))) + g.choice([0.0, 1e-12, 1e-7]) * x[0, ::-1]
    # Only the shapes of an initialisation: drawing it would compile a program for each.
    shapes = eqx.filter_eval_shape(system.init, d, m, key=jax.random.key(0))
    scale = 10.0 ** float(g.choice([-2, -1, 0.5])) if g.random() < 0.3 else 1.0

    def draw(shape: Any) -> Any:
        size = scale * (np.sqrt(2 / shape.shape[-1]) if name == "gated" else 1.0)
        return jnp.asarray(size * g.standard_normal(shape.shape))

    model = jax.tree.map(lambda s: draw(s) if isinstance(s, jax.ShapeDtypeStruct) else s, shapes)
    if name == "equilibrium":  # well-posed, or nearly
        hidden = model.hidden * (float(g.choice([0.1, 0.3, 0.6])) / scale / np.sqrt(m))
        model = eqx.tree_at(lambda net: net.hidden, model, hidden)
    return system, model, x


def truth_of(name: str, model: Any, x: np.ndarray) -> Layered:
    """The reference."""
    if name == "local":
        return local_truth(np.asarray(model.hidden), np.asarray(model.readout), x, model.activation.name)
    known = {"gated": gated_truth, "neural-ode": neural_ode_truth}
    known |= {"equilibrium": equilibrium_truth, "implicit-relu": implicit_truth}
    return known.get(name, deep_truth)(model, x)


def problem(name: str, g: np.random.Generator, **fixed: Any) -> Problem:
    """One random problem; its residual is chosen so that h is near 1/2 where that is possible."""
    system, model, x = network(name, g, **fixed)
    truth = truth_of(name, model, x)
    eta = None
    if g.random() < 0.6 and truth.lambda_max > 0:
        eta = float(10.0 ** g.uniform(-4, 0.5)) / max(float(truth.lambda_max), 1e-300)
    size = 10.0 ** float(g.uniform(-9, 0))
    if g.random() < 0.8:
        size = at_the_limit(truth, eta, size)
        near = float(g.uniform(-12, -1)) if g.random() < 0.7 else 0.0
        size *= 1 + float(g.choice([-1, 1])) * 10.0**near if near else 10.0 ** float(g.uniform(-3, 0.3))
    direction = g.standard_normal(len(x))
    outputs = np.array([float(v) for v in truth.outputs])
    return Problem(system, model, x, outputs + size * direction / np.linalg.norm(direction), eta, truth)


def at_the_limit(truth: Layered, eta: float | None, size: float) -> float:
    """The largest residual that 300 bits certify; `size` where there is none, or none that is not."""
    limit = truth.limits(eta)[0]
    return float(limit) if 1e-60 < limit < 1e12 else size


def attack(p: Problem, folder: Path | None = None) -> tuple[str, str]:
    """(the rigorous verdict, what is wrong with it, or ""). With a folder, a certificate that holds is also verified."""
    from globalmin import rigorous

    x = jnp.asarray(p.x)
    iterate = p.system.iterate(p.model, x, jnp.asarray(p.y))
    found = rigorous.certify(p.system, iterate, p.eta, compare=False)
    verdict, rho = found.proof.verdict, p.truth.rho(p.y)
    for name, ball in {**p.truth.quantities, "rho_0": rho}.items():
        interval = found.quantities.get(name)
        if interval is not None and not (arb(interval.lower) <= ball.upper() and ball.lower() <= arb(interval.upper)):
            return verdict, f"{name}: [{interval.lower!r}, {interval.upper!r}] and the truth is {ball.str(25)}"
    if found.holds:
        if rho > p.truth.limits(p.eta)[1]:
            return verdict, "it says yes where 300 bits say no on any grid"
        if not p.truth.holds_at(found.proof, rho, p.eta):
            return verdict, "it says yes where 300 bits say no"
        if folder is not None:
            rigorous.verify(folder / "certificate.json", *found.write(folder / "certificate.json"))
    # A certificate's row of movements is coarser than the reference's: there a no within a few percent is no mistake.
    elif (
        verdict == "FAILS"
        and "local" not in p.truth.eigenvalues
        and p.truth.certifies(rho * (1 + arb(2) ** -30), p.eta)
    ):
        return verdict, "it says no where 300 bits say yes"
    return verdict, ""


def main() -> int:
    """Print the counts of verdicts, and every failure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--system", choices=SYSTEMS, action="append")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    wrong = 0
    for name in arguments.system or SYSTEMS:
        counts: collections.Counter[str] = collections.Counter()
        with tempfile.TemporaryDirectory() as folder, flint.ctx.workprec(BITS):
            for k in range(arguments.first, arguments.first + arguments.problems):
                p = problem(name, np.random.default_rng((arguments.seed, SYSTEMS.index(name), k)))
                try:
                    verdict, failure = attack(p, Path(folder) if k % 5 == 0 else None)
                except ValueError as error:
                    verdict, failure = "error", str(error)
                counts[verdict] += 1
                counts["yes at 300 bits"] += p.truth.certifies(p.truth.rho(p.y), p.eta)
                if failure:
                    wrong += 1
                    print(f"{name} {arguments.seed}/{k} {p.x.shape} {p.eta}: {failure}", flush=True)
        print(name, dict(counts), flush=True)
    print(f"{wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
