"""record: the one alias for the slotted, value-like classes of the hot paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform()
def record(cls: type[T]) -> type[T]:
    """A dataclass with slots.

    Not frozen: a frozen dataclass costs several times as much to make, and
    these are made for every packet. Treat them as values all the same.
    """
    return dataclass(slots=True)(cls)
