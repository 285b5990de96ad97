"""What is wrong as printed, what is used instead, and why: data, shown by certificates, reports and docs.

One file per source; a new one is imported and joined to `SOURCES` here.
"""

import difflib

from . import (
    du2017,
    du2018_balancing,
    du2018_conv,
    du2018_filter,
    du2019_deep,
    du2019_two_layer,
    gao2022,
    gao2025,
    ling2023,
    noy2021,
)
from .base import Erratum as Erratum

SOURCES = (
    du2017,
    du2018_balancing,
    du2018_conv,
    du2018_filter,
    du2019_deep,
    du2019_two_layer,
    gao2022,
    gao2025,
    ling2023,
    noy2021,
)

ERRATA: dict[str, Erratum] = {entry.id: entry for source in SOURCES for entry in source.ERRATA}


def erratum(id: str) -> Erratum:
    """The erratum of that id. **Raises:** `ValueError` that names the nearest ids if there is none."""
    if id not in ERRATA:
        near = difflib.get_close_matches(id, ERRATA, n=3)
        advice = f"did you mean {' or '.join(near)}?" if near else "`globalmin systems --errata` lists them"
        raise ValueError(f"erratum: a known id expected, {id!r} came; {advice}")
    return ERRATA[id]
