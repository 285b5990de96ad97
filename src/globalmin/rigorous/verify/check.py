"""`globalmin verify`: a certificate file against weights and data, by a program that shares no mathematics with the maker."""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import file
from ..flint import precision
from .balls import BITS, Balls
from .claims import Claims, RefutedError
from .constants import Constants
from .deep import check_dense, check_resnet
from .equilibrium import check_equilibrium
from .gated import check_gated
from .implicit import check_implicit
from .neural_ode import check_neural_ode
from .theorem import check_theorem
from .two_layer import check_two_layer

CHECKERS: dict[str, Callable[..., Constants]] = {
    "two-layer": check_two_layer,
    "equilibrium": check_equilibrium,
    "implicit-relu": check_implicit,
    "gated": check_gated,
    "neural-ode": check_neural_ode,
    "dense": check_dense,
    "resnet": check_resnet,
    "conv-resnet": check_resnet,
}


@dataclasses.dataclass(frozen=True)
class Checked:
    """A certificate that was confirmed: what it says, and how it was checked."""

    statement: str
    theorem: str
    hypotheses: tuple[str, ...]
    arithmetic: str
    versions: dict[str, str]


def verify(path: str | Path, weights: str | Path, data: str | Path, comparison: str | Path | None = None) -> Checked:
    """Re-prove a certificate file from the weights and the data alone.

    **Arguments:** `weights`: an .npz of the arrays by their names in the model; `data`: an .npz with X and y as the certificate
    was made from (rows preprocessed); `comparison`: an .npz of the comparison point of a displacement certificate.

    **Raises:** `ValueError`, one line, for a file that was changed or that is not about these weights or data, and
    (`RefutedError`) for a claim that is not confirmed; `FileNotFoundError`; `ImportError` without python-flint.

    **Source:** docs/theory/rigorous.md.
    """
    content = file.read(path)
    try:
        point = None
        if content["comparison"] is not None:
            if comparison is None:
                raise ValueError(f"{Path(path).name}: the file of its comparison point expected too, none came")
            point = file.read_arrays(comparison)
        return _verify(Path(path).name, content, file.read_arrays(weights), file.read_arrays(data), point)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{Path(path).name}: a whole certificate expected, it is damaged ({error!r})") from error


def _verify(
    name: str,
    content: dict[str, Any],
    weights: dict[str, np.ndarray],
    data: dict[str, np.ndarray],
    point: dict[str, np.ndarray] | None,
) -> Checked:
    system = content["system"]
    if system["name"] not in CHECKERS:
        raise ValueError(f"{name}: a system of {', '.join(CHECKERS)} expected, {system['name']!r} came")
    data = {{"x": "X"}.get(k, k): v for k, v in data.items()}
    _match("weights", content["weights"], weights)
    _match("data", content["data"], data)
    x, y = (np.asarray(data[k], np.float64) for k in ("X", "y"))
    arrays = {k: np.asarray(weights[k], np.float64) for k in content["weights"]}
    if x.ndim != 2 or y.shape != (len(x),) or [len(x), x.shape[1]] != [system["n"], system["d"]]:
        raise ValueError(
            f"{name}: {system['n']} x {system['d']} inputs expected, shape {x.shape} came; the file is damaged"
        )
    compared = {}
    if point is not None:
        _match("comparison", content["comparison"], point)
        compared = {k: np.asarray(point[k], np.float64) for k in content["comparison"]}
        if {k: v.shape for k, v in compared.items()} != {k: v.shape for k, v in arrays.items()}:
            raise ValueError(f"{name}: a comparison point of the weights' shapes expected, another came")
    if not all(np.isfinite(a).all() for a in (x, y, *arrays.values(), *compared.values())):
        raise ValueError(f"{name}: finite weights and data expected, NaN or infinity came")
    with precision(BITS) as flint:
        balls = Balls(flint)
        claims = Claims(content, balls, "rho_0" if point is None else "rho_c")
        nodes, witness = _nodes(content)
        options = {**system["options"], "witness": witness}
        checker = CHECKERS[system["name"]]
        constants = checker(claims, options, arrays if point is None else compared, x, y)
        if point is not None:
            checker(claims.at_start(), options, arrays, x, y, residual_only=True)
            _check_distance(claims, constants.fixed, arrays, compared)
        unknown = claims.names - claims.confirmed
        if unknown:
            raise RefutedError(f"{name}: hypotheses that this program does not know: {', '.join(sorted(unknown))}")
        for key, entry in content["hypotheses"].items():
            if entry["meaning"] != file.meaning_of(key):
                raise RefutedError(f"{name}: the words of hypothesis {key} were changed")
        check_theorem(content, nodes, claims, constants, displaced=point is not None)
    arithmetic = f"ball arithmetic of {BITS} bits"
    if balls.used_doubles:
        arithmetic += ", the largest products in double precision with their own error bounds"
    return Checked(
        content["conclusion"]["statement"],
        content["theorem"]["id"],
        tuple(sorted(claims.confirmed)),
        arithmetic,
        dict(content["versions"]),
    )


def _nodes(content: dict[str, Any]) -> tuple[list[float], dict[str, dict[float, list[float]]]]:
    """The nodes, and each witness by the node that it belongs to."""
    nodes = [file.from_hex("nodes", q) for q in content["nodes"]]
    if len(nodes) < 2 or not nodes[0] >= 0 or not all(p < q for p, q in itertools.pairwise(nodes)):
        raise RefutedError("certificate: increasing nodes expected from 0 or the point's distance on, others came")
    witness = {}
    for name, rows in content["witness"].items():
        if len(rows) != len(nodes):
            raise RefutedError(f"certificate: a row of the witness {name!r} expected for every node, others came")
        found = [[file.from_hex(name, v) for v in row] for row in rows]
        witness[name] = dict(zip(nodes, found, strict=True))
    return nodes, witness


def _check_distance(
    claims: Claims, fixed: tuple[str, ...], one: dict[str, np.ndarray], other: dict[str, np.ndarray]
) -> None:
    """Confirm the distance of the trained weights; those that are not trained must be the same."""
    for name in fixed:
        if (one[name] != other[name]).any():
            raise RefutedError(f"refuted: the comparison point has another {name!r}, which is not trained")
    arb = claims.arb
    parts = [
        arb(u) - arb(v) for k in one for u, v in zip(one[k].ravel().tolist(), other[k].ravel().tolist(), strict=True)
    ]
    claims.number("distance", claims.balls.norm(parts))


def _match(what: str, expected: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    for name, stated in expected.items():
        if name not in arrays:
            raise ValueError(f"{what}: the array {name!r} expected as in the certificate, it is not in the file")
        if arrays[name].dtype.kind not in "fiu":
            raise ValueError(f"{what}: numbers expected in {name!r}, {arrays[name].dtype} came")
        found = file.fingerprint(arrays[name])
        if found != stated:
            reason = f"shape {found['shape']}" if found["shape"] != stated["shape"] else "other numbers"
            raise ValueError(
                f"{what}: the certificate is not about this {name!r} ({reason} came; SHA-256 {found['sha256'][:12]}, "
                f"{str(stated['sha256'])[:12]} expected); give the {what} it was made from"
            )
