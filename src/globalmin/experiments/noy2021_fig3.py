"""Figure 3 and Table 2 of Noy et al. (2021): image classes as one-hot vectors, and the way from gates to ReLUs in mid-training.

Table 2 and (a): squared loss on ten classes, three architectures, both networks from the same C, W and B, at one step size,
1/λ_max of the larger kernel (the source: 1e-4, which with its initialisation only mean gradients could stand). The source's
gated networks end far lower than its ReLU networks; at this scale, both with a step size that is stable, they do not.

(b), (c): gated training, at half of the epochs the transform to a ReLU network of minimum norm, then ReLU training; beside
plain ReLU training, all without augmentation. The training loss is continuous at the transform; the test loss drops where m is
several times n (at m = 2n it rises: the features are then ill-conditioned). Shown beside it is the gated network trained on
y + f(·; W_0) and read as f − f(·; W_0): most of the drop is the initial random function, which the transform removes, and not
an effect of a ridge.
"""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from .. import data
from ..models import Gated, transform
from ..report import Line, Panel
from .claims import Claim, below
from .config import RunConfig
from .dynamics import both, curves, top_eigenvalue
from .run import execute

SOURCE = "Noy, Xu, Aflalo, Zelnik-Manor, Jin, 2021, Figure 3 and Table 2"

SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "data": "digits", "per_class": 10, "architectures": [[3, 150], [4, 150], [2, 220]], "epochs": 300,
        "transform": {"per_class": 4, "depth": 2, "width": 220, "epochs": 400},
    },
    "paper": {
        "data": "cifar-10", "per_class": 50, "architectures": [[6, 1000], [7, 1000], [4, 1500]], "epochs": 1000,
        "transform": {"per_class": 50, "depth": 4, "width": 1000, "epochs": 400},
    },
}  # fmt: skip
CLASSES = tuple(range(10))
LOOKS = 2


def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
    """The table as claims, and the three panels."""
    size = SIZES[scale]
    epochs = size["epochs"]
    x, y, x_test, y_test = _one_hot(size["data"], size["per_class"], seed)
    lines, claims, table = [], [], {}
    for depth, width in size["architectures"]:
        networks = both(x.shape[1], width, depth, seed, outputs=len(CLASSES))
        eta = 1 / max(top_eigenvalue(model, x) for model in networks.values())
        with bar(f"depth {depth}, m = {width}", epochs) as progress:
            for name, model in networks.items():
                _, found = curves(model, x, y, eta, epochs, x_test, y_test)
                table[name, depth, width] = float(found["loss"][-1])
                lines.append(Line(f"{name}, L = {depth}, m = {width}", np.arange(epochs), found["loss"]))
                progress(epochs, epochs, {"loss": float(found["loss"][-1]), "lambda_min": float("nan")})
        ends = table["GReLU", depth, width], table["ReLU", depth, width]
        starts = [float(line.values[0]) for line in lines[-2:]]
        claims.append(
            Claim(
                f"Table 2, depth {depth}, m = {width}: training losses of GReLU and ReLU (the source: GReLU far lower)",
                f"{ends[0]:.3g} and {ends[1]:.3g}, from {starts[0]:.3g} and {starts[1]:.3g}",
                "both below a tenth of the first loss",
                all(end < 0.1 * first for end, first in zip(ends, starts, strict=True)),
            )
        )  # fmt: skip
    found, panels = _transform(size["data"], size["transform"], seed, bar)
    depth, width = size["architectures"][0]
    config = RunConfig(
        system="gated", data=size["data"], per_class=size["per_class"], width=width, depth=depth,
        epochs=min(epochs, 60), seed=seed, looks=LOOKS,
    )  # fmt: skip
    with bar("two classes, certified", config.epochs) as progress:
        runs = [execute(config, out / "two-classes", progress=progress)]
    settings = {
        **{key: size[key] for key in ("data", "per_class", "architectures", "epochs", "transform")},
        "step size": "1/λ_max of the larger of both tangent kernels, for both networks",
        "not given by the source": "batch sizes, epochs, the step size of (b) and (c); here as listed, without augmentation",
        "unlike the source": "the ReLU networks of Table 2 end no higher than the gated ones",
    }
    shown = [Panel("Table 2 and (a): training loss", "½‖f − y‖²", lines, True), *panels]
    return {"claims": claims + found, "settings": settings, "panels": shown, "runs": runs}


def _one_hot(name: str, per_class: int, seed: int):
    """Unit rows and flat one-hot labels of ten classes, the mean of the labels taken out, for training and test."""
    rows = data.load(name, classes=CLASSES, per_class=per_class, seed=seed)
    x_test, y_test = (rows.x, rows.y) if rows.x_test is None else (rows.x_test, rows.y_test)

    def hot(labels):
        return jnp.asarray((np.asarray(labels)[:, None] == np.array(CLASSES)) - 1 / len(CLASSES)).ravel()

    return jnp.asarray(rows.x), hot(rows.y), jnp.asarray(x_test), hot(y_test)


def _transform(name: str, options: dict[str, Any], seed: int, bar):
    """Gated, then ReLU, beside ReLU from the start and the centred gated network."""
    x, y, x_test, y_test = _one_hot(name, options["per_class"], seed)
    half = options["epochs"] // 2
    networks = both(x.shape[1], options["width"], options["depth"], seed, outputs=len(CLASSES))
    gated = networks["GReLU"]
    assert isinstance(gated, Gated)
    eta = 1 / max(top_eigenvalue(model, x) for model in networks.values())
    with bar("gated, transformed, ReLU", 2 * half) as progress:
        middle, first = curves(gated, x, y, eta, half, x_test, y_test)
        assert isinstance(middle, Gated)
        turned = transform(middle, x)
        # The transformed network has a tangent kernel of its own size.
        eta_2 = min(eta, 1 / top_eigenvalue(turned.model, x))
        _, second = curves(turned.model, x, y, eta_2, half, x_test, y_test)
        _, goes_on = curves(middle, x, y, eta, half, x_test, y_test)
        _, plain = curves(networks["ReLU"], x, y, eta, 2 * half, x_test, y_test)
        centred = _centred(gated, x, y, x_test, y_test, eta, half)
        progress(2 * half, 2 * half, {"loss": float(second["loss"][-1]), "lambda_min": float("nan")})
    jump = abs(second["loss"][0] - goes_on["loss"][0]) / goes_on["loss"][0]
    per = len(y) / len(y_test)
    before, after, middle_centred = goes_on["test_loss"][0], second["test_loss"][0], centred["test_loss"][half - 1]
    claims = [
        below("the training loss is continuous at the transform: relative jump", float(jump), 1e-8),
        below("the test loss drops at the transform: after over before", float(after / before), 0.5),
        Claim(
            "what the drop is: test loss before, after, and of the centred gated network at that epoch",
            f"{per * before:.3g}, {per * after:.3g}, {per * middle_centred:.3g}",
            "the centred one nearer to after than to before",
            bool(abs(np.log(middle_centred / after)) < abs(np.log(middle_centred / before))),
        ),
        below("the ReLU network goes on learning: last training loss over that at the transform",
              float(second["loss"][-1] / second["loss"][0]), 1.0),
    ]  # fmt: skip
    at = np.arange(2 * half)
    joined = {key: np.concatenate([first[key], second[key]]) for key in ("loss", "test_loss")}
    panels = [
        Panel(
            "(b) training loss", "½‖f − y‖²",
            [Line("GReLU → ReLU", at, joined["loss"]), Line("ReLU", at, plain["loss"]),
             Line("centred GReLU", at, centred["loss"])], True,
        ),
        Panel(
            "(c) test loss", "½‖f − y‖² (as many samples)",
            [Line("GReLU → ReLU", at, per * joined["test_loss"]), Line("ReLU", at, per * plain["test_loss"]),
             Line("centred GReLU", at, per * centred["test_loss"])], True,
        ),
    ]  # fmt: skip
    return claims, panels


def _centred(gated: Gated, x, y, x_test, y_test, eta: float, half: int) -> dict[str, np.ndarray]:
    """Training f − f(·; W_0) on y is training f on y + f(·; W_0)."""
    shift, shift_test = gated.outputs(x), gated.outputs(x_test)
    return curves(gated, x, y + shift, eta, 2 * half, x_test, y_test + shift_test)[1]
