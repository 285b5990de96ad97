"""A checker of array annotations for jaxtyping's import hook: shapes and dtypes, at every call."""

import typing

import jaxtyping
from beartype import beartype


def _of_arrays(annotation) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, jaxtyping.AbstractArray):
        return True
    return any(_of_arrays(part) for part in typing.get_args(annotation))


def check(function):
    """Check what says something of arrays. Other annotations are left to our own checks, whose messages are tested."""
    kept = {name: kind for name, kind in function.__annotations__.items() if _of_arrays(kind)}
    function.__annotations__ = kept
    return beartype(function)
