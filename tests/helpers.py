"""What the tests share."""

from typing import TypeVar

T = TypeVar("T")


def given(value: T | None) -> T:
    """What a certificate that holds always has."""
    assert value is not None
    return value
