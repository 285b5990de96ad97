"""What a system's check hands to the theorem's check."""

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Constants:
    """Lipschitz constants from above as functions of the radius: of each block, and of the whole Jacobian (or `None`)."""

    blocks: dict[str, Callable[[Any], Any]]
    whole: Callable[[Any], Any] | None
    along_path: tuple[str, ...] = ()  # the blocks whose constant is about paths, with the eigenvalue of all parameters
    fixed: tuple[str, ...] = ()  # the arrays that are not trained
