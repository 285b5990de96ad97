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
VERSION = 2
PACKAGES = ("globalmin", "numpy", "python-flint")

_BLOCKS = (
    "Let J be the Jacobian of the outputs, 0 = q_0 < q_1 < … < q_N, and for each of the blocks J_b of columns of J "
    "let σ_b² ≤ λ_min(J_bJ_bᵀ) at θ₀ and σ_min(J_b) ≥ σ_b − Λ_bj q at every distance q ≤ q_j from θ₀. "
)
_PATHS = (
    "Let J be the Jacobian of the outputs, 0 = q_0 < q_1 < … < q_N, and for each of the blocks J_b of columns of J "
    "let σ_b² ≤ λ_min(J_bJ_bᵀ) at θ₀ and at the end of every path of the method from θ₀ of length q ≤ q_j let "
    "σ_min(J) ≥ σ_b − Λ_bj q. "
)
_ABOUT = (
    "Let θ_c be a point at the distance D from θ₀ with ‖f(θ_c) − y‖ ≤ ρ_c, and ρ₀ ≥ ‖f(θ₀) − y‖. Let J be the "
    "Jacobian of the outputs, D = q_0 < q_1 < … < q_N, and for each of the blocks J_b of columns of J let σ_b² ≤ "
    "λ_min(J_bJ_bᵀ) at θ_c and σ_min(J_b) ≥ σ_b − Λ_bj q at every distance q ≤ q_j from θ_c; on the ball of radius "
    "q_j around θ_c let J have the Lipschitz constant Λ_j. "
)
_BEST = (
    "For q_{j−1} < q ≤ q_j put e(q) = σ_b − Λ_bj q, b the best of the blocks; where a node S and a block b are "
    "named, from S on e(q) = σ_b − Λ_bj (q + S)/2 for that block, if σ_min(J_b) ≥ σ_b − Λ_bj p wherever the "
    "parameters outside of it have moved by p ≤ (q_j + S)/2. "
)
_DESCENT = (
    ("On the ball of radius q_j around θ₀ let J have the Lipschitz constant Λ_j. ")
    + _BEST
    + (
        "Put c(q) = 1 − η(‖J(θ₀)‖ + Λ_j q)²/2 − ηΛρ₀/2. If R is a node, Λ its Λ_j, ρ₀ ≥ ‖f(θ₀) − y‖, c > 0 up to R, σ_* "
        "> 0 the largest e(R) of a block and ∫ce ≥ ρ₀ from 0 to R, then gradient descent θ ← θ − ηJᵀ(f − y) has a path "
        "of length at most R, its residual shrinks at least by the factor 1 − c(R)ησ_*² per step, and it converges to a "
        "point where f = y. h = ρ₀/(2∫ce) from 0 to q_N."
    )
)
_FLOW = _BEST + (
    "If R is a node, ρ₀ ≥ ‖f(θ₀) − y‖, σ_* > 0 the largest e(R) of a block and ∫e ≥ ρ₀ from 0 to R, then gradient "
    "flow dθ/dt = −Jᵀ(f − y) has a path of length at most R, its residual falls at least as exp(−σ_*²t), and it "
    "converges to a point where f = y. h = ρ₀/(2∫e) from 0 to q_N."
)

THEOREMS = {
    "kantorovich-block-descent": _BLOCKS + _DESCENT,
    "kantorovich-block-flow": _BLOCKS + _FLOW,
    "kantorovich-path-descent": _PATHS + _DESCENT,
    "kantorovich-path-flow": _PATHS + _FLOW,
    "kantorovich-displacement-descent": _ABOUT
    + _BEST
    + (
        "Put β = ‖J(θ_c)‖, c₁ = 1 − η(β + Λ_0 D)²/2, c_D = c₁ − ηΛ_0ρ₀/2, ρ = min(ρ₀, (ρ_c + Λ_0D²/2)/c₁), s = max_b "
        "(σ_b − Λ_b0 D) and c(q) = 1 − η(β + Λ_j q)²/2 − ηΛρ/2. If R is a node, Λ its Λ_j, c_D > 0, s > 0, c > 0 up "
        "to R, σ_* > 0 the largest e(R) of a block and ∫ce ≥ ρ from D to R, then gradient descent θ ← θ − ηJᵀ(f − y) "
        "from θ₀ has a path of length at most R − D + (ρ₀ − ρ)/(c_D s) within the distance R of θ_c, its residual "
        "shrinks at least by the factor 1 − min(c_D, c(R))ησ_*² per step, and it converges to a point where f = y. h "
        "= ρ/(2∫ce) from D to q_N."
    ),
    "kantorovich-displacement-flow": _ABOUT
    + _BEST
    + (
        "Put ρ = min(ρ₀, ρ_c + Λ_0D²/2) and s = max_b (σ_b − Λ_b0 D). If R is a node, s > 0, σ_* > 0 the largest "
        "e(R) of a block and ∫e ≥ ρ from D to R, then gradient flow dθ/dt = −Jᵀ(f − y) from θ₀ has a path of length "
        "at most R − D + (ρ₀ − ρ)/s within the distance R of θ_c, its residual falls at least as exp(−σ_*²t), and it "
        "converges to a point where f = y. h = ρ/(2∫e) from D to q_N."
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
    "data_relative": "‖K^{-1/2}X‖, K the read-out's (implicit: the features') share of the Gram matrix",
    "feature_relative": "‖K^{-1/2}φ(H)‖ of a layer's states H, K the read-out's share of the Gram matrix",
    "ahead_norm": "‖A‖, A = I + Δt σ_w/(2√m) W",
    "power_norm": "‖A^k W‖",
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
