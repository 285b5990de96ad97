"""Which activation for a Neural ODE: the question of Gao et al. (2025) put to seven of them, on handwritten digits.

For each: what is smooth, whether the limit kernel is positive definite, how far the adjoint equation's gradient (backsolve)
and the discretised network's (discretise, then optimise) are from the ODE's at every tolerance, and a training run. Another
run on a few samples reaches losses at which convergence is certified. Then the horizon: with σ_w = 1 the states grow
exponentially in T; with σ_w = 1/T the network is that of T = 1, since only σ_w T matters.
"""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import train
from .._core import UnsolvedError
from ..report import Line, Panel, number
from .claims import Claim
from .config import RunConfig
from .neural_ode_case import USUAL, Case, gradient_errors
from .run import execute

SOURCE = "Gao, Sun, Liu, Gao, ICLR 2025: the impact of activation functions"

SIZES: dict[str, dict[str, Any]] = {
    # 70 samples: more than the 64 pixels, so that a line's kernel is singular.
    "small": {
        "activations": ["softplus", "tanh", "gelu", "sin", "relu", "quadratic", "linear"],
        "per_class": 35, "width": 300, "epochs": 600, "tolerances": [1e-1, 1e-2, 1e-3, 1e-4, 1e-5], "horizons": [1, 2, 4, 8],
        "certified": {"per_class": 3, "width": 200, "epochs": 3000},
    },
    "paper": {
        "activations": ["softplus", "tanh", "gelu", "sin", "relu", "quadratic", "linear"],
        "per_class": 100, "width": 2000, "epochs": 3000, "tolerances": [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6],
        "horizons": [1, 2, 4, 8, 16], "certified": {"per_class": 5, "width": 2000, "epochs": 20_000},
    },
}  # fmt: skip
LOOKS = 10
CERTIFICATE_LOOKS = 15
QUADRATIC_SIGMA_W = 0.1
"""z² squares its states: at σ_w = 1 they leave every bound before T = 1, for most draws; its row is at this σ_w."""
GROWTH = 3.0  # ‖h_T‖/‖h_0‖ that σ_w = 1/T must stay below at every horizon
DIGITS_PIXELS = 64


def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
    """Every activation, then the horizons; a table, advice and claims."""
    size = SIZES[scale]
    cases = [_case(name, size, out, seed, bar) for name in size["activations"]]
    horizons = _horizons(size, seed)
    settings = {
        **{key: value for key, value in size.items() if key != "certified"},
        **{f"certified {key}": value for key, value in size["certified"].items()},
        "layers": 10, "solver": "euler", "sigma_w": f"1; {QUADRATIC_SIGMA_W} for quadratic",
        "gradients": "tsit5 with adaptive steps, against 64 equal steps of it differentiated exactly",
        "not given by the source": "data, width, step size, tolerances; here as listed",
    }  # fmt: skip
    return {
        "claims": _claims(cases, horizons, size),
        "settings": settings,
        "panels": _panels(cases, horizons, size),
        "runs": [one for case in cases for one in (case.run, case.certified)],
        "table": _table(cases, size),
        "advice": _advice(cases, horizons, size),
    }


def _case(name: str, size: dict[str, Any], out: Path, seed: int, bar) -> Case:
    config = _config(name, size, seed)
    with bar(name, size["epochs"]) as progress:
        trained = execute(config, out / name, progress=progress)
    few = _config(name, size["certified"], seed).model_copy(update={"looks": CERTIFICATE_LOOKS})
    with bar(f"{name}: certificate", few.epochs) as progress:
        certified = execute(few, out / f"{name}-certificate", progress=progress)
    spectrum = trained.certificate.get("spectrum")
    return Case(
        name, spectrum["lambda_min"] if spectrum else None, spectrum["error"] if spectrum else math.inf,
        _trust(config, size), trained, certified,
    )  # fmt: skip


def _config(name: str, size: dict[str, Any], seed: int, **options: Any) -> RunConfig:
    options = {"sigma_w": QUADRATIC_SIGMA_W if name == "quadratic" else 1.0, **options}
    return RunConfig(
        system="neural-ode", activation=name, data="digits", per_class=size["per_class"], width=size["width"],
        epochs=size["epochs"], seed=seed, looks=LOOKS, **options,
    )  # fmt: skip


def _trust(config: RunConfig, size: dict[str, Any]) -> train.Trust:
    """Both gradients at the initialisation over the tolerances."""
    dataset = config.load_data()
    model = config.build_system().init(dataset.d, config.width, key=jax.random.key(config.seed))
    x, y = jnp.asarray(dataset.x), jnp.asarray(dataset.y)
    return train.trust(model, x, y, tolerances=size["tolerances"], directions=1, seed=config.seed)


def _horizons(size: dict[str, Any], seed: int) -> dict[str, Any]:
    """The first activation by horizon, at σ_w = 1 and at σ_w = 1/T, ten layers per unit of time.

    `growth`: max ‖h_T‖/‖h_0‖; `trust`: both gradients at σ_w = 1 and the longest horizon, `None` where they overflow.
    """
    growth = np.full((2, len(size["horizons"])), np.nan)
    for j, horizon in enumerate(size["horizons"]):
        for i, sigma_w in enumerate((1.0, 1.0 / horizon)):
            config = _config(
                size["activations"][0], size, seed, sigma_w=sigma_w, horizon=float(horizon), layers=10 * horizon
            )
            dataset, system = config.load_data(), config.build_system()
            x, y = jnp.asarray(dataset.x), jnp.asarray(dataset.y)
            iterate = system.iterate(system.init(dataset.d, config.width, key=jax.random.key(seed)), x, y)
            norms = np.linalg.norm(iterate.trajectory.states, axis=-1)  # pyright: ignore[reportAttributeAccessIssue]
            growth[i, j] = (norms[-1] / norms[0]).max()
    longest = float(size["horizons"][-1])
    try:
        trust = _trust(_config(size["activations"][0], size, seed, horizon=longest), size)
    except UnsolvedError:
        trust = None
    return {"growth": growth, "trust": trust}


def _claims(cases: list[Case], horizons: dict[str, Any], size: dict[str, Any]) -> list[Claim]:
    curved = [case for case in cases if not case.polynomial]
    claims = [
        Claim(
            f"Corollary 1: {case.name} is not a polynomial, so λ_min(K^∞) > 0",
            f"{number(case.lambda_min)} ± {number(case.error, 2)}" if case.lambda_min is not None else "no limit",
            "> 0 beyond its error", case.positive,
        )
        for case in curved
    ]  # fmt: skip
    line = next((case for case in cases if case.phi.polynomial_degree == 1), None)
    n = 2 * size["per_class"]
    if line is not None and n > DIGITS_PIXELS:
        low = math.inf if line.lambda_min is None else abs(line.lambda_min)
        claims.append(
            Claim(
                f"a line makes a linear model: its kernel has rank d = {DIGITS_PIXELS} at most and is singular on {n} samples",
                f"λ_min {number(line.lambda_min or 0.0)} ± {number(line.error, 2)}", "0 within its error",
                low <= line.error + 1e-10,
            )
        )  # fmt: skip
    smooth = [case for case in curved if case.smooth]
    claims.append(
        Claim(
            "Theorem 3: runs with a smooth activation keep L_k ≤ (1 − ηλ₀/16)^k L₀, λ₀ = λ_min(K^∞)",
            ", ".join(f"{case.name} {_kept(case)}" for case in smooth),
            "kept at every look", all(_kept(case) == "kept" for case in smooth),
        )
    )  # fmt: skip
    claims.append(
        Claim(
            "descent is certified from some epoch on for a smooth activation, flow for every Lipschitz one (few samples)",
            ", ".join(f"{case.name} {_certified(case)}" for case in curved), "smooth: both; with kinks: flow",
            all(
                case.certified_epochs[0] is not None and (case.certified_epochs[1] is not None or not case.smooth)
                for case in curved
            ),
        )
    )  # fmt: skip
    rough = [case for case in curved if not case.smooth]
    if smooth and rough:
        worst = max(case.error_at("backsolve") for case in smooth)
        least = min(case.error_at("backsolve") for case in rough)
        claims.append(
            Claim(
                f"kinks cost the adjoint equation accuracy: its gradient error at tolerance {USUAL:g}, with kinks over smooth",
                f"{number(100 * least, 2)}% over {number(100 * worst, 2)}%", "with kinks larger", least > worst,
            )
        )  # fmt: skip
    scaled = horizons["growth"][1]
    claims.append(
        Claim(
            f"σ_w = 1/T keeps the states at every horizon: ‖h_T‖/‖h_0‖, {size['activations'][0]}",
            ", ".join(f"{v:.3g} (T = {t})" for v, t in zip(scaled, size["horizons"], strict=True)),
            f"< {GROWTH:g}", bool(np.all(scaled < GROWTH)),
        )
    )  # fmt: skip
    return claims


def _kept(case: Case) -> str:
    """How the loss promise of Theorem 3 as printed fared."""
    promises = case.run.certificate["verification"]["promises"]
    found = [p["kept"] for p in promises if p["name"] == "loss at rate 1 − ηλ₀/16"]
    return "not promised" if not found else "kept" if all(found) else "broken"


def _certified(case: Case) -> str:
    """The epochs from which flow and descent are certified."""
    flow, descent = (("never" if epoch is None else str(epoch)) for epoch in case.certified_epochs)
    return f"{flow} / {descent}"


def _bounded(case: Case) -> str:
    values = (case.phi.lipschitz, case.phi.curvature, case.phi.third)
    return ", ".join("–" if v is None else number(v, 2) for v in values)


def _table(cases: list[Case], size: dict[str, Any]) -> dict[str, Any]:
    def positive(case):
        if case.lambda_min is None:
            return "no limit"
        return f"{number(case.lambda_min, 2)} ± {number(case.error, 1)}{'' if case.positive else ': not shown > 0'}"

    def needed(case):
        loosest = case.trust.needed("backsolve")
        return "tighter than tried" if loosest is None else number(loosest)

    rows = []
    for case in cases:
        tests = case.run.trajectory.get("test_loss")
        rows.append(
            [
                case.name, _bounded(case), positive(case), f"{number(100 * case.error_at('backsolve'), 2)}%", needed(case),
                f"{number(100 * case.error_at('discretised'), 2)}%",
                f"{number(case.losses[0], 2)} → {number(case.losses[-1], 2)}",
                "" if tests is None else number(float(tests.values[-1]), 2),
                _certified(case),
            ]
        )  # fmt: skip
    few = size["certified"]
    return {
        "columns": [
            "φ", "φ′, φ″, φ‴ ≤", "λ_min(K^∞)", "adjoint error", "adjoint needs", "DTO error",
            "loss", "test", "certified",
        ],
        "rows": rows,
        "notes": f"Width {size['width']}, {2 * size['per_class']} digits 0 and 1, {size['epochs']} epochs at η = 1/λ_max; "
        f"quadratic at σ_w = {QUADRATIC_SIGMA_W}. adjoint error: of the adjoint equation's gradient (backsolve) against the "
        f"ODE's, at the start, at tolerance {USUAL:g}; adjoint needs: the tolerance from which on it stays below 1%, also once "
        "the loss is a million times smaller; DTO error: of the discretised network's exact gradient (discretise, then "
        f"optimise). certified: epoch from which flow / descent is proven to converge, on {2 * few['per_class']} digits at "
        f"width {few['width']}. A bound that does not exist (–) silences the theorems that need it; training still runs.",
    }  # fmt: skip


def _advice(cases: list[Case], horizons: dict[str, Any], size: dict[str, Any]) -> list[str]:
    found = []
    curved = [case for case in cases if not case.polynomial]
    ranked = sorted((c for c in curved if c.smooth and c.positive), key=lambda c: c.losses[-1])
    if ranked:
        best, names = ranked[0], ", ".join(case.name for case in ranked)
        certified = [(epoch, case.name) for case in ranked if (epoch := case.certified_epochs[1]) is not None]
        kernel = max(ranked, key=lambda case: case.lambda_min or 0.0)
        text = (
            f"Take a smooth activation that is no polynomial. In order of training loss after {size['epochs']} epochs: "
            f"{names}. {best.name} is the lowest with {number(best.losses[-1], 2)}; {kernel.name} has the largest "
            f"λ_min(K^∞) = {number(kernel.lambda_min, 2)}."
        )
        if certified:
            text += " On a few samples descent is certified from epoch {} on at the earliest ({}).".format(
                *min(certified)
            )
        found.append(text)
        worst = max(ranked, key=lambda case: case.error_at("backsolve"))
        found.append(
            f"With these the adjoint equation (backsolve) is at most {number(100 * worst.error_at('backsolve'), 2)}% off at "
            f"tolerance {USUAL:g} ({worst.name}) at the start. Prefer discretise-then-optimise all the same (explicit, "
            "checkpoint): it is the exact gradient of the network that is evaluated, and the certificates are about it."
        )
    for case in curved:
        if not case.smooth:
            found.append(
                f"{case.name} has a jump in its slope: descent has no certificate, flow has; the adjoint equation is "
                f"{number(100 * case.error_at('backsolve'), 2)}% off at tolerance {USUAL:g}, and the gradient of its residual "
                f"network ends {number(100 * float(case.run.trajectory['gradient_gap'].values[-1]), 2)}% away from the ODE's. "
                "Train it, if at all, with an exact adjoint (explicit, checkpoint)."
            )
    polynomials = [case.name for case in cases if case.polynomial]
    if polynomials:
        found.append(
            f"Leave polynomials ({', '.join(polynomials)}): a line makes a linear model, singular beyond d samples; z² has no "
            f"Lipschitz constant and explodes unless σ_wT is small (here {QUADRATIC_SIGMA_W})."
        )
    growth = horizons["growth"]
    longest = size["horizons"][-1]
    text = (
        f"For a long horizon take σ_w = 1/T, which is the network of T = 1: at T = {longest} states grow "
        f"{number(growth[1, -1], 2)}-fold, and {number(growth[0, -1], 2)}-fold at σ_w = 1"
    )
    if horizons["trust"] is None:
        return [*found, f"{text}, where they overflow before a gradient is found."]
    errors = gradient_errors(horizons["trust"], "backsolve")
    at = float(errors[1][np.argmin(np.abs(np.log(errors[0] / USUAL)))])
    return [
        *found,
        f"{text}, where the adjoint equation is {number(100 * at, 2)}% off at tolerance {USUAL:g} ({size['activations'][0]}).",
    ]


def _panels(cases: list[Case], horizons: dict[str, Any], size: dict[str, Any]) -> list[Panel]:
    def lines(quantity):
        return [
            Line(case.name, case.run.trajectory["epoch"].values, case.run.trajectory[quantity].values) for case in cases
        ]

    def by_tolerance(method):
        return [Line(case.name, *case.errors(method)) for case in cases]

    times = np.array(size["horizons"])
    labels = ("σ_w = 1", "σ_w = 1/T")
    return [
        Panel("training loss", "½‖u − y‖²", lines("loss"), True),
        Panel("smallest eigenvalue of K_θ", "λ_min", lines("lambda_min"), True),
        Panel("Euler's gradient against the ODE's", "relative difference", lines("gradient_gap"), True),
        Panel(
            "adjoint equation (backsolve)", "relative error of the gradient", by_tolerance("backsolve"),
            True, "tolerance of the solver", True,
        ),
        Panel(
            "discretise, then optimise", "relative error of the gradient", by_tolerance("discretised"),
            True, "tolerance of the solver", True,
        ),
        Panel(
            f"growth of states, {size['activations'][0]}", "max ‖h_T‖/‖h_0‖",
            [Line(label, times, values) for label, values in zip(labels, horizons["growth"], strict=True)],
            True, "horizon T", True,
        ),
    ]  # fmt: skip
