"""Attack `verify`: certificate files with one number changed, and their hash made good, must be refused or still be true.

    python benchmarks/attack_files.py --problems 20 --changes 20 --seed 0 --system equilibrium

Problems are those of attack_systems.py whose certificate holds. Changed is, by chance, a node (moved, taken away, put between
two others), the ball, the node from which half the path is charged or its block, the blocks, a row of a witness, an end of a
hypothesis, a condition, a number of the conclusion, the step size. Where a changed file is accepted, its theorem's
inequalities are evaluated at 300 bits on its own nodes: many changes make another proof of the same.
`tests/rigorous/test_attack_files.py` runs a slice.
"""

import argparse
import collections
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import flint
import jax
import jax.numpy as jnp
import numpy as np
from attack_certificates import BITS
from attack_systems import SYSTEMS, Problem, problem
from flint import arb


@dataclasses.dataclass
class Claimed:
    """What the reference asks of a proof, read from a file."""

    nodes: list[float]
    ball: float
    block: str
    half: tuple[str, float] | None


def scaled(text: str, g: np.random.Generator) -> str:
    """The number times something near 1, or far from it."""
    return (float.fromhex(text) * (1 + float(g.choice([-1, 1])) * 10.0 ** float(g.uniform(-15, 0.3)))).hex()


def changed(content: dict[str, Any], g: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """What was changed, and the file's content."""
    c = json.loads(json.dumps(content))
    kinds = ["node", "fewer", "more", "ball", "half", "blocks", "witness", "hypothesis", "condition", "conclusion"]
    kind, nodes = str(g.choice([*kinds, "step_size"])), c["nodes"]
    k = int(g.integers(1, len(nodes)))
    if kind == "node":
        nodes[k] = scaled(nodes[k], g)
    elif kind == "fewer" and len(nodes) > 2:
        for rows in (nodes, *c["witness"].values()):
            del rows[k]
    elif kind == "more":
        nodes.insert(k, ((float.fromhex(nodes[k - 1]) + float.fromhex(nodes[k])) / 2).hex())
        for rows in c["witness"].values():
            rows.insert(k, rows[k])
    elif kind == "ball":
        c["ball"] = str(g.choice([scaled(c["ball"], g), nodes[k]]))
    elif kind == "half":
        block = str(g.choice(["readout", "features", "all"]))
        c["half"] = None if g.random() < 0.3 else {"block": block, "from": nodes[k - 1]}
    elif kind == "blocks":
        c["block"] = str(
            g.choice(["all", "readout", "features", "local", "all, readout", "all, features", "all, local"])
        )
    elif kind == "witness" and c["witness"]:
        row = c["witness"][str(g.choice(sorted(c["witness"])))][k]
        for j in range(len(row)):
            row[j] = scaled(row[j], g)
    elif kind == "hypothesis":
        interval = c["hypotheses"][str(g.choice(sorted(c["hypotheses"])))]["interval"]
        end = int(g.integers(2))
        interval[end] = scaled(interval[end], g)
    elif kind == "condition":
        interval = c["conditions"][str(g.choice(sorted(c["conditions"])))]
        end = int(g.integers(2))
        interval[end] = scaled(interval[end], g)
    elif kind == "conclusion":
        name = str(g.choice(["radius", "path", "sigma_star", "rate"]))
        c["conclusion"][name] = scaled(c["conclusion"][name], g)
    elif kind == "step_size" and c["step_size"] is not None:
        c["step_size"] = scaled(c["step_size"], g)
    return kind, c


def true(p: Problem, c: dict[str, Any]) -> bool:
    """Whether what an accepted file says holds at 300 bits."""
    half = None if c["half"] is None else (c["half"]["block"], float.fromhex(c["half"]["from"]))
    claim = Claimed([float.fromhex(q) for q in c["nodes"]], float.fromhex(c["ball"]), c["block"], half)
    eta = None if c["step_size"] is None else float.fromhex(c["step_size"])
    rho, ball = p.truth.rho(p.y), arb(claim.ball)
    start = None if half is None or not claim.ball > half[1] else arb(half[1])
    left = p.truth.best(claim.block.split(", "), ball, ball, start)
    shown = {k: float.fromhex(c["conclusion"][k]) for k in ("radius", "path", "sigma_star", "rate")}
    if not p.truth.holds_at(claim, rho, eta) or left is None:
        return False
    rate = (-left * left).exp()
    if eta is not None:
        found = p.truth.at(ball)
        assert found is not None
        beta = p.truth.lambda_max.sqrt() + found[1] * ball
        rate = 1 - (1 - arb(eta) * (beta * beta + found[1] * rho) / 2) * arb(eta) * left * left
    return (
        min(shown["radius"], shown["path"]) >= claim.ball and arb(shown["sigma_star"]) <= left and rate <= shown["rate"]
    )


def attack(
    p: Problem, g: np.random.Generator, changes: int, folder: Path
) -> tuple[collections.Counter[str], list[str]]:
    """How many files of each kind were refused and accepted, and what is wrong."""
    from globalmin import rigorous
    from globalmin.rigorous import file

    counts: collections.Counter[str] = collections.Counter()
    iterate = p.system.iterate(p.model, jnp.asarray(p.x), jnp.asarray(p.y))
    found = rigorous.certify(p.system, iterate, p.eta, compare=False)
    if not found.holds:
        return counts, []
    files, content, wrong = found.write(folder / "c.json"), found.content(), []
    for _ in range(changes):
        kind, forged = changed(content, g)
        file.write(folder / "f.json", forged)
        try:
            rigorous.verify(folder / "f.json", *files)
        except ValueError as refusal:
            counts[f"{kind} refused"] += 1
            if "\n" in str(refusal):
                wrong.append(f"{kind}: more than one line")
            continue
        counts[f"{kind} accepted"] += 1
        if not true(p, forged):
            wrong.append(f"{kind}: accepted, and not true at 300 bits")
    return counts, wrong


def main() -> int:
    """Print the counts, and every failure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--changes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--system", choices=SYSTEMS, action="append")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    wrong = 0
    for name in arguments.system or SYSTEMS:
        total: collections.Counter[str] = collections.Counter()
        with tempfile.TemporaryDirectory() as folder, flint.ctx.workprec(BITS):
            for k in range(arguments.problems):
                g = np.random.default_rng((arguments.seed, SYSTEMS.index(name), k))
                counts, failures = attack(problem(name, g), g, arguments.changes, Path(folder))
                total += counts
                for failure in failures:
                    wrong += 1
                    print(f"{name} {arguments.seed}/{k}: {failure}", flush=True)
        print(name, dict(sorted(total.items())), flush=True)
    print(f"{wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
