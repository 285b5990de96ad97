"""`globalmin verify`: re-prove a certificate file from weights and data."""

import sys
from pathlib import Path
from typing import ClassVar

from .base import Command, Timed, print_json


class Verify(Command):
    """Check a certificate file independently of the code that made it.

    Example: globalmin verify digits.json --weights digits.weights.npz --data digits.data.npz
    """

    positional: ClassVar[tuple[str, ...]] = ("file",)

    file: Path
    """The file that `globalmin certify --certificate-file` wrote."""
    weights: Path | None = None
    """A .npz of the weights. Default: the one that was written beside the file."""
    data: Path | None = None
    """A .npz with X and y, preprocessed as the certificate's. Default: the one that was written beside the file."""
    comparison: Path | None = None
    """A .npz of the comparison point, for a certificate of the displacement form. Default: the one beside the file."""
    json_output: bool = False
    """One JSON object for machines."""

    def run(self) -> int:
        """Check, and say what is proven."""
        from ..rigorous import RefutedError, companions, verify

        weights, data, comparison = companions(self.file)
        try:
            with Timed("every hypothesis, in ball arithmetic", self.json_output):
                checked = verify(self.file, self.weights or weights, self.data or data, self.comparison or comparison)
        except RefutedError as error:
            print(f"globalmin: {' '.join(str(error).split())}", file=sys.stderr)
            return 1
        if self.json_output:
            print_json({"verified": True, **vars(checked)})
        else:
            print(f"verified: {checked.statement}")
            print(f"theorem {checked.theorem}; {len(checked.hypotheses)} hypotheses re-proven in {checked.arithmetic}")
        return 0
