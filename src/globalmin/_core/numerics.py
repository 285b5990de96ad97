"""The home of numbers: the float64 policy, the tolerances, and the few functions that keep digits others lose."""

import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

EPS = float(np.finfo(np.float64).eps)

UNIT_NORM_TOLERANCE = 1e-10
"""How far from 1 the norm of a "unit" row may be: 1e-10 changes no verdict, and float32 data miss it by 1e-7."""

ADVICE_FLOAT64 = (
    "call jax.config.update('jax_enable_x64', True) before making arrays, or set JAX_ENABLE_X64=1 in the environment"
)


def require_float64(name: str, x: Array | np.ndarray) -> None:
    """Raise `ValueError` unless `x` is float64: kernels, Gram matrices and verdicts are computed in no less."""
    if x.dtype != np.float64:
        raise ValueError(f"{name}: float64 expected, {x.dtype} came; {ADVICE_FLOAT64}")


def is_concrete(x: object) -> bool:
    """Whether the values of `x` can be looked at now (it is not being traced)."""
    return not isinstance(x, jax.core.Tracer)


def name_rows(rows: np.ndarray, most: int = 8) -> str:
    """`"3, 7 and 12"`; beyond `most` rows the count of the rest."""
    shown = [str(int(r)) for r in rows[:most]]
    if len(rows) > most:
        return f"{', '.join(shown)} and {len(rows) - most} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def check_inputs(x: Float[Array, "n d"], name: str = "x", *, single: bool = False) -> Float[Array, "n d"]:
    """Return `x` as a float64 matrix, or with `single` a float32 one, with at least one row and finite entries.

    **Raises:** `ValueError` for another dtype or shape; for NaN, infinite or zero rows, which are named. Under
    tracing only dtype and shape are checked.
    """
    if is_concrete(x):
        x = jnp.asarray(x)
    if not (single and x.dtype == np.float32):
        require_float64(name, x)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"{name}: a matrix with one sample per row expected, an array of shape {x.shape} came")
    if is_concrete(x):
        values = np.asarray(x)
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if bad.size:
            raise ValueError(f"{name}: finite numbers expected, NaN or infinity came in rows {name_rows(bad)}")
        zero = np.flatnonzero(~values.any(axis=1))
        if zero.size:
            raise ValueError(f"{name}: every row must have a direction, zero rows came: {name_rows(zero)}; drop them")
    return x


def check_row_norms(x: Float[Array, "n d"], norm: float, name: str = "x") -> Float[Array, "n d"]:
    """Return `x` if every row has Euclidean norm `norm` up to `UNIT_NORM_TOLERANCE` (relative).

    **Raises:** `ValueError` that names the rows, their norms and the preprocessing that mends them.
    """
    x = check_inputs(x, name)
    if is_concrete(x):
        norms = np.linalg.norm(np.asarray(x), axis=1)
        bad = np.flatnonzero(np.abs(norms - norm) > UNIT_NORM_TOLERANCE * norm)
        if bad.size:
            raise ValueError(
                f"{name}: rows of norm {norm:.6g} expected; rows {name_rows(bad)} have other norms "
                f"(row {bad[0]}: {norms[bad[0]]:.6g}); normalize the rows first"
            )
    return x


def check_labels(y: Float[Array, " n"], n: int, name: str = "y") -> Float[Array, " n"]:
    """Return `y` as a float64 vector of length `n` of finite numbers, or raise `ValueError`."""
    if is_concrete(y):
        y = jnp.asarray(y)
    require_float64(name, y)
    if y.shape != (n,):
        raise ValueError(f"{name}: one label per sample expected, shape ({n},); shape {y.shape} came")
    if is_concrete(y):
        bad = np.flatnonzero(~np.isfinite(np.asarray(y)))
        if bad.size:
            raise ValueError(f"{name}: finite labels expected, NaN or infinity came at {name_rows(bad)}")
    return y


def check_count(name: str, value: int, least: int = 1) -> int:
    """Return `value` if it is an integer of at least `least`, or raise `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}: an integer of at least {least} expected, {value!r} came")
    return int(value)


def angle(x: Float[Array, " d"], y: Float[Array, " d"]) -> Float[Array, ""]:
    """Angle between two non-zero vectors in [0, π], to a few eps, nearly parallel ones included.

    Kahan's form 2 atan2(|x̂ − ŷ|, |x̂ + ŷ|) of the unit vectors: arccos(x̂·ŷ) keeps half the digits near 0 and π.
    """
    x, y = x / jnp.linalg.norm(x), y / jnp.linalg.norm(y)
    return 2 * jnp.arctan2(jnp.linalg.norm(x - y), jnp.linalg.norm(x + y))
