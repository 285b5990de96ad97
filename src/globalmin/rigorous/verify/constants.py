"""What a system's check hands to the theorem's check."""

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Constants:
    """Λ_* of each block and Λ of the whole Jacobian (or `None`) from above, as functions of the radius.

    They are asked for at the nodes, give `None` where nothing is proven, and raise `RefutedError` for a wrong witness.
    """

    blocks: dict[str, Callable[[Any], Any]]
    whole: Callable[[Any], Any] | None
    along_path: tuple[str, ...] = ()  # the blocks whose constant is about paths, with the eigenvalue of all parameters
    apart: tuple[str, ...] = ()  # the blocks whose radius is how far the parameters outside of them have moved
    fixed: tuple[str, ...] = ()  # the arrays that are not trained
