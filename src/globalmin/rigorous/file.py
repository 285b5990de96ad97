"""The certificate file: its format, its hash, its words. Shared by the maker and by the checker, and free of mathematics.

JSON, closed with a SHA-256 of its own content. A number that is part of the proof is written as a hexadecimal floating-point
literal (`float.hex`), which is exact; `interval` is [lower end, upper end].
"""

import hashlib
import importlib.metadata
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = "globalmin-certificate"
VERSION = 1
PACKAGES = ("globalmin", "numpy", "python-flint")

THEOREMS = {
    "kantorovich-block-descent": (
        "Let J_* be the block's columns of the Jacobian J of the outputs, σ₀² ≤ λ_min(J_*J_*ᵀ) at θ₀, ρ₀ ≥ ‖f(θ₀) − y‖; on the "
        "ball of radius R around θ₀ let ‖J_*(θ) − J_*(θ₀)‖ ≤ Λ_*‖θ − θ₀‖, let J have the Lipschitz constant Λ, and "
        "β = ‖J(θ₀)‖ + ΛR. If c = 1 − η(β² + Λρ₀)/2 > 0, h = Λ_*ρ₀/(cσ₀²) < 1/2 and R_* = 2ρ₀/(c(σ₀ + σ_*)) ≤ R with "
        "σ_* = σ₀√(1 − 2h), then gradient descent θ ← θ − ηJᵀ(f − y) has a path of length at most R_*, its residual shrinks at "
        "least by the factor 1 − cησ_*² per step, and it converges to a point where f = y."
    ),
    "kantorovich-block-flow": (
        "Let J_* be the block's columns of the Jacobian J of the outputs, σ₀² ≤ λ_min(J_*J_*ᵀ) at θ₀, ρ₀ ≥ ‖f(θ₀) − y‖, and on "
        "the ball of radius R around θ₀ let ‖J_*(θ) − J_*(θ₀)‖ ≤ Λ_*‖θ − θ₀‖. If h = Λ_*ρ₀/σ₀² < 1/2 and "
        "R_* = 2ρ₀/(σ₀ + σ_*) ≤ R with σ_* = σ₀√(1 − 2h), then gradient flow dθ/dt = −Jᵀ(f − y) has a path of length at most "
        "R_*, its residual falls at least as exp(−σ_*²t), and it converges to a point where f = y."
    ),
    "kantorovich-path-descent": (
        "Let J be the Jacobian of the outputs, σ₀² ≤ λ_min(JJᵀ) at θ₀, ρ₀ ≥ ‖f(θ₀) − y‖; at the end of every path of gradient "
        "descent from θ₀ of length l ≤ R let σ_min(J) ≥ σ₀ − Λ_*l; on the ball of radius R around θ₀ let J have the Lipschitz "
        "constant Λ, and β = ‖J(θ₀)‖ + ΛR. If c = 1 − η(β² + Λρ₀)/2 > 0, h = Λ_*ρ₀/(cσ₀²) < 1/2 and "
        "R_* = 2ρ₀/(c(σ₀ + σ_*)) ≤ R with σ_* = σ₀√(1 − 2h), then gradient descent θ ← θ − ηJᵀ(f − y) has a path of length at "
        "most R_*, its residual shrinks at least by the factor 1 − cησ_*² per step, and it converges to a point where f = y."
    ),
    "kantorovich-path-flow": (
        "Let J be the Jacobian of the outputs, σ₀² ≤ λ_min(JJᵀ) at θ₀, ρ₀ ≥ ‖f(θ₀) − y‖; at the end of every path of gradient "
        "flow from θ₀ of length l ≤ R let σ_min(J) ≥ σ₀ − Λ_*l. If h = Λ_*ρ₀/σ₀² < 1/2 and R_* = 2ρ₀/(σ₀ + σ_*) ≤ R with "
        "σ_* = σ₀√(1 − 2h), then gradient flow dθ/dt = −Jᵀ(f − y) has a path of length at most R_*, its residual falls at "
        "least as exp(−σ_*²t), and it converges to a point where f = y."
    ),
    "kantorovich-displacement-descent": (
        "Let θ_c be a point at the distance D from θ₀ with ‖f(θ_c) − y‖ ≤ ρ_c, and ρ₀ ≥ ‖f(θ₀) − y‖. Let J_* be the block's "
        "columns of the Jacobian J of the outputs, σ₀² ≤ λ_min(J_*J_*ᵀ) at θ_c; on the ball of radius R around θ_c let "
        "‖J_*(θ) − J_*(θ_c)‖ ≤ Λ_*‖θ − θ_c‖, let J have the Lipschitz constant Λ, and β = ‖J(θ_c)‖ + ΛR. Put c₁ = 1 − ηβ²/2, "
        "c = c₁ − ηΛρ₀/2, b = min(ρ₀, (ρ_c + ΛD²/2)/c₁), s = σ₀ − Λ_*D. If c > 0, s > 0, h = Λ_*b/(cs²) < 1/2 and D + p ≤ R "
        "with p = 2b/(c(s + σ_*)), σ_* = s√(1 − 2h), then gradient descent θ ← θ − ηJᵀ(f − y) from θ₀ has a path of length at "
        "most p + (ρ₀ − b)/(cs) within the distance D + p of θ_c, its residual shrinks at least by the factor 1 − cησ_*² per "
        "step, and it converges to a point where f = y."
    ),
    "kantorovich-displacement-flow": (
        "Let θ_c be a point at the distance D from θ₀ with ‖f(θ_c) − y‖ ≤ ρ_c, and ρ₀ ≥ ‖f(θ₀) − y‖. Let J_* be the block's "
        "columns of the Jacobian J of the outputs, σ₀² ≤ λ_min(J_*J_*ᵀ) at θ_c; on the ball of radius R around θ_c let "
        "‖J_*(θ) − J_*(θ_c)‖ ≤ Λ_*‖θ − θ_c‖, and let J have the Lipschitz constant Λ. Put b = min(ρ₀, ρ_c + ΛD²/2) and "
        "s = σ₀ − Λ_*D. If s > 0, h = Λ_*b/s² < 1/2 and D + p ≤ R with p = 2b/(s + σ_*), σ_* = s√(1 − 2h), then gradient flow "
        "dθ/dt = −Jᵀ(f − y) from θ₀ has a path of length at most p + (ρ₀ − b)/s within the distance D + p of θ_c, its residual "
        "falls at least as exp(−σ_*²t), and it converges to a point where f = y."
    ),
}
"""Each theorem by its id, in words; docs/theory/kantorovich.md has the proofs."""

MEANINGS = {
    "rho_0": "‖f(X) − y‖, the norm of the residual",
    "rho_c": "‖f(X) − y‖ at the comparison point",
    "distance": "the distance of the comparison point from the weights",
    "w_norm_start": "operator norm of M at the weights",
    "mu_start": "λ_max((M + Mᵀ)/2) at the weights",
    "lambda_min_all": "λ_min of the Gram matrix J Jᵀ of all trained parameters",
    "lambda_max": "λ_max of J Jᵀ, ‖J‖²",
    "data_norm": "‖X‖, operator norm",
    "data_max": "the largest norm of a row of X",
    "fourth_moment": "χ = λ_max((XXᵀ)∘(XXᵀ))^{1/2}; for a deep equilibrium model with the rows [z, x] in place of x",
    "readout_max": "max |a_r|",
    "lambda_min_readout": "λ_min of ZZᵀ, the share of the read-out",
    "lambda_min_features": "λ_min of ΦΦᵀ, the share of the features",
    "w_norm": "operator norm of the matrix M that the equilibrium is iterated with (W, or γA/√m)",
    "mu": "λ_max((M + Mᵀ)/2)",
    "w_row": "the largest norm of a row of M",
    "w_column": "the largest norm of a column of M",
    "a_norm": "norm of the equilibrium's read-out",
    "features_norm": "‖[Z, X]‖, operator norm",
    "feature_max": "the largest norm of a row of [Z, X]",
    "state_norm": "‖Z‖, operator norm",
    "state_max": "the largest norm of a row of Z",
    "state_fourth": "λ_max((ZZᵀ)∘(ZZᵀ))^{1/2}",
    "adjoint_max": "the largest norm of a row of R, the derivative of the output in the pre-activation",
    "g_max": "max |g_ij|, G = RM + a",
    "gbend_max": "max |g_ij φ″(h_ij)|",
    "rv_max": "max |r_ij + v_j|",
    "rvbend_max": "max |(r_ij + v_j) φ″(w_j·x_i)|",
    "path_bend": "max_r of (a_r²/m φ″_rᵀ((XXᵀ)∘(XXᵀ)∘K⁻¹)φ″_r)^{1/2}, K = JJᵀ",
    "path_slope": "max_r of (a_r²/m φ′_rᵀ((XXᵀ)∘K⁻¹)φ′_r)^{1/2}, K = JJᵀ",
    "sixth_moment": "λ_max((XXᵀ)∘(XXᵀ)∘(XXᵀ))^{1/2}",
    "readout_bend": "max |v_j φ″(h_ij)| in the last layer",
    "cross": "the largest eigenvalue's root of (h_{l−1}h_{l−1}ᵀ)∘(F_{k+1}F_{k+1}ᵀ), layers l < k",
    "layer_norm": "operator norm of a layer's weights",
    "feature_layer": "‖φ(H)‖ of a layer's states H, operator norm",
    "feature_row": "the largest norm of a row of φ(H)",
    "adjoint_row": "the largest norm of ∂f/∂h over the samples",
    "back_max": "max |b_ij|, b = σ_w/√m Wᵀλ with λ = ∂f/∂h after the layer",
    "back_bend": "max |b_ij φ″(h_ij)|",
    "weight_norm": "operator norm of a layer's weights W",
    "weight_row": "the largest norm of a row of W",
    "sloped_norm": "‖diag(max_i |σ′(p_i)|) W‖, operator norm",
    "slope_max": "max |σ′(p_ij)|",
    "input_norm": "‖Z‖ of a layer's inputs, operator norm",
    "input_max": "the largest norm of a sample's inputs",
    "input_row": "the largest norm of a row of Z (one patch)",
    "input_fourth": "χ of a layer's inputs",
    "left_norm": "‖δ‖, δ = ∂f/∂p, operator norm",
    "left_max": "the largest norm of a sample's δ",
    "cotangent_max": "max |g_ij|, g = ∂f/∂x after the layer",
    "bent_max": "max |g_ij σ″(p_ij)|",
}
"""Each quantity in words; `name@k` is that of layer k."""


def meaning_of(key: str) -> str | None:
    """The words of a quantity, `None` for one that is not known."""
    name, at, layers = key.partition("@")
    if not at:
        return MEANINGS.get(name)
    return None if name not in MEANINGS else f"{MEANINGS[name]}, layer {layers.replace(',', ' and ')}"


def hex_of(value: float) -> str:
    """The double, exactly."""
    return float(value).hex()


def from_hex(name: str, text: Any) -> float:
    """The finite double that `hex_of` wrote, or `ValueError`."""
    try:
        value = float.fromhex(text)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"certificate: a hexadecimal number expected at {name}, {text!r} came; the file is damaged")
    return value


def fingerprint(array: np.ndarray) -> dict[str, Any]:
    """SHA-256 of an array's bytes as little-endian doubles in C order, with shape and dtype; shorter floats become doubles."""
    plain = np.ascontiguousarray(array, "<f8")
    digest = hashlib.sha256(plain.tobytes()).hexdigest()
    return {"sha256": digest, "shape": list(plain.shape), "dtype": "float64"}


def digest_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of everything but the field `sha256`."""
    rest = {k: v for k, v in content.items() if k != "sha256"}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def versions() -> dict[str, str]:
    """The versions of what made the file."""
    return {package: importlib.metadata.version(package) for package in PACKAGES}


def conclusion_of(theorem: str, step_size: float | None, radius: float, rate: float) -> str:
    """What is proven, in words; numbers rounded for reading, the exact ones stand beside it."""
    if theorem.endswith("flow"):
        return (
            f"from exactly these weights gradient flow reaches zero training loss; the residual falls at least by the factor "
            f"{rate:.10g} per unit of time, and the limit lies within {radius:.6g} of these weights"
        )
    return (
        f"from exactly these weights gradient descent with step size {step_size:.6g} reaches zero training loss; the residual "
        f"falls at least by the factor {rate:.10g} per step, and the limit lies within {radius:.6g} of these weights"
    )


def write(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write the content with its hash. **Raises:** `OSError` if the file cannot be written."""
    full = {**content, "sha256": digest_of(content)}
    Path(path).write_text(json.dumps(full, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read(path: str | Path) -> dict[str, Any]:
    """The content of a certificate file whose hash and version are right.

    **Raises:** `FileNotFoundError`; `ValueError`, one line, for a file that is no certificate, was changed, or has a version
    that this program does not know.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: a certificate file expected, there is none; check the path")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name}: a certificate file (JSON) expected, it cannot be read ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"{path.name}: a certificate file of `globalmin certify --rigorous` expected, another file came"
        )
    if content.get("format_version") != VERSION:
        raise ValueError(
            f"{path.name}: format version {VERSION} expected, {content.get('format_version')!r} came; "
            "use the version of globalmin that wrote it"
        )
    if content.get("sha256") != digest_of(content):
        raise ValueError(
            f"{path.name}: the file was changed after it was written (its own hash does not fit); certify again"
        )
    return content


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, never with pickle. **Raises:** `FileNotFoundError`, `ValueError`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: an .npz file expected, there is none; check the path")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError("another file came")
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen types for damaged archives
        raise ValueError(
            f"{path.name}: a readable .npz file expected, it is damaged or another file ({error})"
        ) from error
