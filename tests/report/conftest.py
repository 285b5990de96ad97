"""A synthetic run: small, quick to write, and with everything that a report can show."""

import shutil

import numpy as np
import pytest

from globalmin.report import RunFolder, figures
from globalmin.theory import ERRATA, Erratum, Hypothesis, Promise, Verdict
from globalmin.theory.certificate import worst

EPOCHS = 300
CERTIFIED = 120
CORRECTION = Erratum(
    "test-1", "A. Author", "Lemma 3", "‖e‖ ≤ 1 & <x>", "‖e‖² ≤ 1", "a square is missing", "substantive"
)
CONFIG = {"system": "two-layer", "data": "digits", "width": 1024, "epochs": EPOCHS, "seed": 0, "step_size": 0.03}


@pytest.fixture(autouse=True, scope="package")
def _fonts_in_pdf():
    """As users get them: the fonts, cut down to the letters that are shown."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(figures._STYLE, "pdf.fonttype", 42)
        yield


@pytest.fixture(autouse=True)
def correction(monkeypatch):
    """One correction that the synthetic theorem rests on."""
    monkeypatch.setitem(ERRATA, CORRECTION.id, CORRECTION)
    return CORRECTION


def make_certificate():
    """The content of certificate.json of a finished run."""
    step, low, error = 0.03, 0.0231, 3.1e-14
    hypotheses = [
        Hypothesis.at_least("λ₀ > 0", low, 0.0, strict=True, error=error),
        Hypothesis.at_least("m ≥ c n⁶/(λ₀⁴δ³)", 1024, 5.4e13, note="[derived] constant"),
        Hypothesis.at_least("m ≥ c′", 1024, None, note="the source leaves c′ open"),
        Hypothesis.at_most("η ≤ λ₀/(4n²)", step, low / 57600),
    ]
    promises = [
        Promise("loss at the theorem's rate", "loss", "<=", 64.0, 1 - step * low / 2),
        Promise("λ_min(H) ≥ λ₀/2", "lambda_min", ">=", low / 2),
        Promise("no neuron moves beyond R", "movement", "<=", 0.4, conclusion=False),
    ]
    fates = [(True, None, 1.0), (True, None, 1.61), (False, 7, 0.36)]
    source = "A. Author, 2019, Theorem 2.3 [corrected]"
    theorem = {
        "theorem": "GradientDescentRate",
        "source": source,
        "statement": "‖u(k) − y‖² ≤ (1 − ηλ₀/2)^k ‖u(0) − y‖²",
        "method": "descent",
        "assumed": "w_r ~ N(0, I)",
        "verdict": worst([h.verdict for h in hypotheses]).value,
        "meaning": Verdict.FAILS.meaning,
        "hypotheses": [h.to_dict() for h in hypotheses],
        "promises": [p.to_dict() for p in promises],
        "errata": ["test-1"],
    }
    silent = {
        "verdict": "FAILS",
        "h": 13.2,
        "sigma_0": 0.152,
        "lambda": 0.0271,
        "rho_0": 11.3,
        "radius": None,
        "rate": None,
        "step_size": step,
        "needed": {"residual": 0.43},
        "statement": "silent: h = 13.2 where less than 1/2 is needed",
        "advice": ["train until the residual is 0.43 (now 11.3)"],
        "block": "all trained parameters",
    }
    holds = {**silent, "verdict": "HOLDS", "h": 0.43, "radius": 3.4, "rate": 0.9997, "needed": None, "advice": []}
    return {
        "system": "two-layer",
        "data": {
            "name": "digits",
            "n": 120,
            "d": 64,
            "geometry": {
                "n": 120,
                "d": 64,
                "min_norm": 1.0,
                "max_norm": 1.0,
                "duplicates": 0,
                "rank": 61,
                "closest_pair": {"rows": [17, 40], "angle": 0.0731, "opposite": False},
            },
            "provenance": {"source": {"name": "scikit-learn"}, "steps": [{"step": "normalize", "norm": "unit"}]},
        },
        "spectrum": {
            "name": "h_infinity",
            "eigenvalues": np.append(np.linspace(low, 1.0, 119), 28.0),
            "error": error,
            "lambda_min": low,
            "lambda_max": 28.0,
        },
        "theorems": [theorem],
        "kantorovich": silent,
        "verification": {
            "sentence": "held throughout",
            "promises": [
                {**p.to_dict(), "source": source, "kept": kept, "first_broken": broken, "margin": margin}
                for p, (kept, broken, margin) in zip(promises, fates, strict=True)
            ],
            "certified_epoch": CERTIFIED,
            "certified": {**holds, "epoch": CERTIFIED, "statement": "descent reaches zero training loss"},
        },
    }


def make_series():
    """Monitored epochs, monitored quantities, and quantities of every epoch."""
    looks = np.unique(np.rint(np.expm1(np.linspace(0, np.log1p(EPOCHS), 20)))).astype(int)
    steps = np.arange(EPOCHS)
    monitored = {
        "loss": 64 * np.exp(-looks / 40),
        "bound": 64 * np.exp(-looks / 4000),
        "kantorovich_bound": np.where(looks >= CERTIFIED, 3.2 * np.exp(-(looks - CERTIFIED) / 100), np.nan),
        "lambda_min": 0.0231 - 0.008 * (1 - np.exp(-looks / 100)),
        "lambda_min_error": np.full(len(looks), 1e-13),
        "gram_drift": 0.9 * (1 - np.exp(-looks / 80)),
        "movement": 0.55 * (1 - np.exp(-looks / 60)),
        "distance": 3.1 * (1 - np.exp(-looks / 90)),
        "pattern_change": 0.04 * (1 - np.exp(-looks / 70)),
        "operator_norm": 0.57 + 0.1 * (1 - np.exp(-looks / 90)),
        "kantorovich_h": 13.2 * np.exp(-looks / 40),
    }
    every = {
        "loss": 64 * np.exp(-steps / 40),
        "path_length": 3.6 * (1 - np.exp(-steps / 90)),
        "forward_iterations": 3 + steps % 2,
        "backward_iterations": 8 + (steps % 7 == 0),
    }
    return looks, monitored, every


@pytest.fixture
def certificate():
    """The content of certificate.json of a finished run."""
    return make_certificate()


@pytest.fixture
def series():
    """Monitored epochs, monitored quantities, and quantities of every epoch."""
    return make_series()


@pytest.fixture
def config():
    """The settings of the run."""
    return dict(CONFIG)


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """A finished run on disk, written once and copied for each test."""
    folder = RunFolder.create(tmp_path_factory.mktemp("written") / "run", CONFIG, {"seed": 0})
    folder.write_certificate(make_certificate())
    folder.write_trajectory(*make_series(), {"step_size": 0.03})
    folder.write_arrays("weights/final.npz", {"w": np.arange(6.0).reshape(2, 3), "block.a": np.array([1, -1])})
    folder.finish()
    return folder.path


@pytest.fixture
def folder(tmp_path, written):
    """A finished run on disk, without figures and page."""
    return RunFolder(shutil.copytree(written, tmp_path / "run"))
