"""Chapter 3 of Du's thesis, which has no figure: what its theorems say of the depth, fully connected against residual.

On the digits, softplus. Along runs: the loss against the theorem's bound, and λ_min of the last layer's share of the tangent
kernel. At the start: the gradients by block, of which the source takes all to be of order 1/H in a residual network. At
infinite width: λ₀ of the limit kernels by depth, which falls like χ^H, χ = c_σ E[σ′(z)²], or like 1/H², and the widths that
the theorems' explicit constants ask for at these λ₀: exponential in H, or a power of H.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import activations, systems
from ..report import Line, Panel
from .claims import Claim, decreases, slope
from .config import RunConfig
from .run import execute

SOURCE = "Du, thesis CMU-ML-19-102, chapter 3"

SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "per_class": 8, "width": 256, "widths": [64, 128, 256], "epochs": 200, "depths": [2, 4, 8], "seeds": 3,
        "laws": [2, 4, 8, 16, 32, 64],
    },
    "paper": {
        "per_class": 50, "width": 2048, "widths": [256, 512, 1024, 2048], "epochs": 1000, "depths": [2, 4, 8, 16], "seeds": 3,
        "laws": [2, 4, 8, 16, 32, 64, 128],
    },
}  # fmt: skip
LOOKS = 6  # each measures two norms of every weight, which costs more than many epochs
NAMES = {"dense": "fully connected", "resnet": "residual"}
DEEPEST_DENSE = 10  # λ₀ of the fully connected network is below the rounding of its kernel soon after


def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
    """Runs by depth and by width, gradients at the start, and the laws of the depth; claims on each."""
    size = SIZES[scale]
    common: dict[str, Any] = {
        "data": "digits", "per_class": size["per_class"], "epochs": size["epochs"], "looks": LOOKS,
    }  # fmt: skip
    runs, ends, losses, spectra = [], {}, [], []
    for name in NAMES:
        for depth in size["depths"]:
            config = RunConfig(system=name, depth=depth, width=size["width"], seed=seed, **common)
            with bar(f"{name}, H = {depth}", size["epochs"]) as progress:
                runs.append(execute(config, out / f"{name}-h{depth}", progress=progress))
            ends[name, depth] = runs[-1]
            found, start = runs[-1].trajectory, runs[-1].certificate
            at = found["epoch"].values
            loss = found["loss"].values
            bound = loss[0] * (1 - start["step_size"] * start["spectrum"]["lambda_min"] / 2) ** at
            losses.append((name, depth, at, loss, bound))
            spectra.append((name, depth, at, found["lambda_min_top"].values / start["spectrum"]["lambda_min"]))
    by_width, missing = {m: [] for m in size["widths"]}, {m: [] for m in size["widths"]}
    for m in size["widths"]:
        for k in range(seed, seed + size["seeds"]):
            config = RunConfig(system="dense", depth=2, width=m, seed=k, **common)
            with bar(f"dense, m = {m}, seed {k}", size["epochs"]) as progress:
                runs.append(execute(config, out / f"dense-m{m}-seed{k}", progress=progress))
            found, limit = runs[-1].trajectory, runs[-1].certificate["spectrum"]["lambda_min"]
            by_width[m].append(float(found["layer_movement"].values[-1]))
            missing[m].append(1 - float(found["lambda_min_top"].values[0]) / limit)
    rows = RunConfig(system="dense", width=1, seed=seed, **common).load_data()
    x, y = jnp.asarray(rows.x), jnp.asarray(rows.y)
    gradients = _gradients(x, y, size, seed)
    laws = _laws(x, y, size["laws"])
    worst = max(float((loss / bound).max()) for *_, loss, bound in losses)
    movement = [float(np.mean(by_width[m])) for m in size["widths"]]
    claims = [
        Claim(
            "every run stays below the theorem's bound on the loss", f"largest loss over bound {worst:.6g}", "≤ 1",
            worst <= 1 + 1e-9,
        ),
        Claim(
            "λ_min(G^(H)) falls by no more than λ₀/4 along any run (what Lemmas 3.4 and 3.11 are for)",
            f"largest fall over λ₀ {max(float(v[0] - v.min()) for *_, v in spectra):.3g}", "≤ 0.25",
            all(float(v[0] - v.min()) <= 0.25 for *_, v in spectra),
        ),
        decreases(
            "H = 2: at the start λ_min(G^(H)) misses less of λ₀ as m grows (Lemma 3.2), mean share", size["widths"],
            [float(np.mean(missing[m])) for m in size["widths"]],
        ),
        *_speed_claims(losses, size["depths"]),
        slope("no weight moves by more than m^(−1/2), over √m", size["widths"], movement, -0.5, 0.15),
        *_gradient_claims(gradients),
        *_law_claims(laws),
    ]  # fmt: skip
    settings = {
        **{k: v for k, v in size.items() if k != "laws"}, "activation": "softplus", "c_res": 0.5, "data": "digits",
        "step size": "1/λ_max of each run's own tangent kernel", "depths of the laws": size["laws"],
        "not given by the source": "everything: the chapter has no experiments",
    }  # fmt: skip
    return {"claims": claims, "settings": settings, "panels": _panels(losses, spectra, gradients, laws), "runs": runs}


def _speed_claims(losses, depths: list[int]) -> list[Claim]:
    """How much more of its loss the deepest network has left than the shallowest, after as many epochs."""
    left = {(name, depth): float(loss[-1] / loss[0]) for name, depth, _, loss, _ in losses}
    ratio = {name: left[name, depths[-1]] / left[name, depths[0]] for name in NAMES}
    ends = f"share of the loss left at H = {depths[-1]} over that at H = {depths[0]}"
    return [
        Claim(
            "depth slows the fully connected network down", f"{ends}: {ratio['dense']:.3g}", "≥ 2", ratio["dense"] >= 2
        ),
        Claim("it does not slow the residual one", f"{ends}: {ratio['resnet']:.3g}", "≤ 2", ratio["resnet"] <= 2),
    ]


def _gradients(x, y, size: dict[str, Any], seed: int) -> dict[str, dict[str, list[float]]]:
    """Norms of the gradients over √n‖u − y‖ of residual networks at the start, means over seeds, by depth."""
    names = ("gradient_readout", "gradient_layer_1", "gradient_top_times_depth")
    found: dict[str, Any] = {"depths": size["laws"][:5], **{name: [] for name in names}}
    for depth in found["depths"]:
        system = systems.ResNetSystem(depth=depth)
        drawn = []
        for k in range(seed, seed + size["seeds"]):
            iterate = system.iterate(system.init(x.shape[1], size["width"], key=jax.random.key(k)), x, y)
            drawn.append(system.gradients(iterate))
        for name in names:
            found[name].append(float(np.mean([d[name] for d in drawn])))
    return found


def _gradient_claims(found) -> list[Claim]:
    depths = found["depths"]
    top = [g / h for g, h in zip(found["gradient_top_times_depth"], depths, strict=True)]
    return [
        slope("residual layers: the gradient in W^(H) falls like 1/H", depths, top, -1.0, 0.2),
        slope("the gradient in the read-out does not", depths, found["gradient_readout"], 0.0, 0.15),
        slope("nor does the gradient in W^(1)", depths, found["gradient_layer_1"], 0.0, 0.3),
    ]


def _laws(x, y, depths: list[int]) -> dict[str, dict[str, Any]]:
    """λ₀ and the width of the explicit condition by depth; fully connected up to `DEEPEST_DENSE`, layer by layer."""
    found = {}
    for name in NAMES:
        layers = list(range(1, min(max(depths), DEEPEST_DENSE) + 1)) if name == "dense" else depths
        lambdas, widths = [], []
        for depth in layers:
            system = systems.build(name, depth=depth)
            # One narrow network for the numbers that the constants are made of; its width does not enter them.
            start = system.iterate(system.init(x.shape[1], 8, key=jax.random.key(0)), x, y)
            limit = system.limit(x)
            assert limit is not None
            question = systems.Question(start, limit, 8, 1.0, 0.1, float(jnp.abs(y).max()), None)
            condition = next(h for h in system.theorems(question)[0].hypotheses() if h.name.startswith("m ≥"))
            assert condition.rhs is not None
            lambdas.append(limit.lambda_min.value)
            # At the residual √n for all: the conditions are proportional to its square.
            widths.append(condition.rhs * len(y) / start.rho.value**2)
        found[name] = {"depths": layers, "lambda": lambdas, "width": widths}
    return found


def _law_claims(laws) -> list[Claim]:
    softplus = activations.get("softplus")
    at_one = activations.Covariance(jnp.ones(()), jnp.ones(()), jnp.zeros(()))
    chi = softplus.c_sigma * float(softplus.dual_derivative(at_one))
    dense, residual = laws["dense"], laws["resnet"]
    ratios = np.array(dense["lambda"][1:]) / np.array(dense["lambda"][:-1])
    last, off = float(ratios[-1]), abs(float(ratios[-1]) / chi - 1)
    decades = np.diff(np.log10(dense["width"]))
    deep = [k for k, depth in enumerate(residual["depths"]) if depth >= 8] or list(range(len(residual["depths"])))
    depths = [residual["depths"][k] for k in deep]
    return [
        Claim(
            "fully connected: λ₀ falls by the factor χ = c_σE[σ′(z)²] per layer", f"{last:.5f} at the last, χ = {chi:.5f}",
            "within 2%", off <= 0.02,
        ),
        slope("residual: λ₀ falls like 1/H²", depths, [residual["lambda"][k] for k in deep], -2.0, 0.05),
        Claim(
            "fully connected: the explicit width grows exponentially in H",
            f"decades per layer {', '.join(f'{d:.2f}' for d in decades[1:])}", "each ≥ 3, and constant to 10%",
            bool(np.all(decades[1:] >= 3) and np.ptp(decades[2:] if len(decades) > 3 else decades[1:]) <= 0.1 * decades[-1]),
        ),
        slope("residual: the explicit width grows like H⁴", depths, [residual["width"][k] for k in deep], 4.0, 0.3),
    ]  # fmt: skip


def _panels(losses, spectra, gradients, laws) -> list[Panel]:
    panels = []
    for name, title in NAMES.items():
        mine = [row for row in losses if row[0] == name]
        lines = [Line(f"H = {depth}", at, loss) for _, depth, at, loss, _ in mine]
        lines += [Line(f"bound, H = {mine[0][1]}", mine[0][2], mine[0][4])]
        panels.append(Panel(f"{title}: loss", "½‖u − y‖²", lines, True))
    for name, title in NAMES.items():
        lines = [Line(f"H = {depth}", at, values) for kind, depth, at, values in spectra if kind == name]
        panels.append(Panel(f"{title}: λ_min(G^(H)(k))", "over λ₀ (the proof: ½)", lines))
    depths = np.array(gradients["depths"])
    lines = [
        Line("a", depths, np.array(gradients["gradient_readout"])),
        Line("W^(1)", depths, np.array(gradients["gradient_layer_1"])),
        Line("W^(H)", depths, np.array(gradients["gradient_top_times_depth"]) / depths),
    ]
    panels.append(Panel("residual: gradients at the start", "over √n‖u − y‖", lines, True, "H", True))
    for key, title, label in (("lambda", "λ₀ by depth", "λ_min(K^(H))"), ("width", "explicit width by depth", "m")):
        lines = [Line(NAMES[name], np.array(law["depths"]), np.array(law[key])) for name, law in laws.items()]
        panels.append(Panel(title, label, lines, True, "H", True))
    return panels
