"""The rigorous certificate of a prepared run, for `certify` and the command line."""

from pathlib import Path
from typing import Any

from .. import rigorous, train


def prove(prepared: train.Prepared, certificate_file: str | Path | None = None) -> dict[str, Any]:
    """The object `rigorous` of a certificate; with `certificate_file` the file is written, if everything is proven.

    The step size is the run's; one that was asked for as the largest certified may be lowered until its proof goes through.
    """
    found = rigorous.certify(
        prepared.system,
        prepared.start,
        None if prepared.method == "flow" else prepared.step_size,
        may_shrink=prepared.step_size_from.startswith("the largest"),
    )
    summary = found.summary()
    if certificate_file is not None:
        written = [Path(certificate_file), *found.write(certificate_file)] if found.holds else []
        summary["files"] = [str(path) for path in written]
    return summary
