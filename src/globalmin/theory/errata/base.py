"""The type of a correction."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Erratum:
    """One correction of a source that the code relies on."""

    id: str  # unique: source key and number, e.g. "ling2023-B5"
    source: str
    where: str
    printed: str
    corrected: str
    why: str
    severity: str  # "substantive": a step fails or a condition changes; "constant"; "typo"
