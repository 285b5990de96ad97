"""Numbers and verdicts as people read them; shared by the tables of the terminal and of the page."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..theory import ERRATA, Verdict

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: Any, digits: int = 4) -> str:
    """`0.04512`, `1024`, `5.4×10¹³`, `∞`; "not given" for `None`, text as it is. `digits` are significant ones."""
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e6 and digits >= 4:
        return f"{int(value)}".replace("-", "−")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if -4 <= power < 6:
        return _short(f"{float(f'{value:.{digits - 1}e}'):.{max(digits - 1 - power, 0)}f}")
    times = {"1": "", "−1": "−"}.get(_short(mantissa), f"{_short(mantissa)}×")
    return f"{times}10{str(power).translate(_SUPERSCRIPT)}"


def power(value: float) -> str:
    """`10⁻³`, for a power of ten on an axis."""
    return f"10{str(round(math.log10(value))).translate(_SUPERSCRIPT)}" if value > 0 else ""


def _short(decimal: str) -> str:
    """Without trailing zeros, with a real minus sign."""
    return (decimal.rstrip("0").rstrip(".") if "." in decimal else decimal).replace("-", "−")


def with_error(value: Any, error: Any) -> str:
    """`0.04512 ± 2×10⁻¹⁵`; without the bound where it is zero or missing."""
    return f"{number(value)} ± {number(error, 2)}" if error else number(value)


def factor_missed(hypothesis: Mapping[str, Any]) -> str:
    """ "short by a factor of 5.3×10¹⁰" for an inequality between positive numbers that fails; "" otherwise."""
    lhs, rhs = hypothesis.get("lhs"), hypothesis.get("rhs")
    if hypothesis.get("verdict") != Verdict.FAILS or lhs is None or rhs is None or not (lhs > 0 and rhs > 0):
        return ""
    more = hypothesis["relation"].startswith(">")
    ratio = rhs / lhs if more else lhs / rhs
    if not 1 < ratio < math.inf:
        return ""
    return f"{'short' if more else 'over'} by a factor of {number(float(f'{ratio:.{1 if ratio >= 10 else 2}e}'))}"


def remark(hypothesis: Mapping[str, Any]) -> str:
    """What stands beside a hypothesis: by what factor it is missed, and its note."""
    return "; ".join(part for part in (factor_missed(hypothesis), hypothesis.get("note") or "") if part)


def title(theorem: str) -> str:
    """ "Gradient descent rate" of the class name `GradientDescentRate`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", theorem).split()
    return " ".join(words[:1] + [word if word.isupper() else word.lower() for word in words[1:]])


def meaning(verdict: str) -> str:
    """A verdict in words; FAILS says that the theorem is silent."""
    return Verdict(verdict).meaning


def kept(promise: Mapping[str, Any]) -> str:
    """What became of a promise along the run."""
    if promise.get("kept") is None:
        return "not compared"
    return "kept" if promise["kept"] else f"first broken at epoch {promise['first_broken']}"


def bound(promise: Mapping[str, Any]) -> str:
    """`≤ 12.5 · 0.9981^(k − 40)`, the bound of a promise as a formula in the epoch k."""
    relation = {"<=": "≤", ">=": "≥"}.get(promise["relation"], promise["relation"])
    factor, start = promise.get("factor", 1.0), promise.get("start", 0)
    if factor == 1:
        return f"{relation} {number(promise['limit'])}" + (f" from epoch {start} on" if start else "")
    # The factor of a slow rate is 0.99999…: four digits would print 1.
    shown = number(factor) if factor < 0.999 else f"(1 − {number(1 - factor, 3)})"
    return f"{relation} {number(promise['limit'])} · {shown}" + (f"^(k − {start})" if start else "^k")


def by_source(promises: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Promises grouped under the theorem that makes them."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for promise in promises:
        found.setdefault(promise["source"], []).append(promise)
    return found


def relation(sign: str) -> str:
    """The sign as it is printed."""
    return {"<=": "≤", ">=": "≥"}.get(sign, sign)


def errata(theorems: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The corrections that these theorems rest on, each once, with the theorems' names under `used_by`."""
    users: dict[str, list[str]] = {}
    for theorem in theorems:
        for key in theorem.get("errata", ()):
            users.setdefault(key, []).append(title(theorem["theorem"]))
    unknown = dict.fromkeys(("source", "where", "printed", "corrected", "why", "severity"), "")
    found = []
    for key, names in users.items():
        entry = vars(ERRATA[key]) if key in ERRATA else {**unknown, "why": "unknown to this version of globalmin"}
        found.append({**entry, "id": key, "used_by": ", ".join(dict.fromkeys(names))})
    return found


def facts(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A dict as pairs of readable text; nested dicts are flattened, empty values dropped."""
    found = []
    for key, value in values.items():
        name = str(key).replace("_", " ")
        if isinstance(value, Mapping):
            found += [(f"{name}: {inner}", text) for inner, text in facts(value)]
        elif value is not None and value not in ("", []):
            found.append((name, _said(value)))
    return found


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {text}" for name, text in facts(value))
    if isinstance(value, list | tuple):
        shown = value[:8] if len(value) > 12 else value
        more = f" and {len(value) - len(shown)} more" if len(shown) < len(value) else ""
        return ("; " if any(isinstance(v, Mapping) for v in shown) else ", ").join(_said(v) for v in shown) + more
    return number(value)


def geometry(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The data's geometry: norms in one line, the closest pair in words, then whatever else was recorded."""
    rest = dict(values)
    found = []
    low, high = rest.pop("min_norm", None), rest.pop("max_norm", None)
    if low is not None and high is not None:
        same = number(low, 6) == number(high, 6)
        found.append(("row norms", f"all {number(low, 6)}" if same else f"from {number(low)} to {number(high)}"))
    pair = rest.pop("closest_pair", None)
    if isinstance(pair, Mapping):
        i, j = pair["rows"]
        side = ", pointing to opposite sides" if pair.get("opposite") else ""
        found.append(("closest pair", f"rows {i} and {j}, {number(pair['angle'])} rad between their lines{side}"))
    return found + facts(rest)
