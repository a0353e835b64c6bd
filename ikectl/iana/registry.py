"""Registry: an IntEnum whose unassigned numbers stay printable and round-trip."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Self, cast

KEPT_BELOW = 256
"""Unassigned members of these numbers are kept by look-ups: those of one octet come with every message of the other
version of IKE, whose header is the same."""


class Registry(IntEnum):
    """A table of assigned numbers.

    A number nobody assigned is still a member of sorts: `PayloadType(200)`
    has the name "200" and the value 200, so that what a peer sent can be
    logged and written back as it came. Such members are made on demand and
    not kept, but for a few by look-ups, so hostile input cannot grow a registry.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or value < 0:
            return None
        member = int.__new__(cls, value)
        member._name_ = str(value)
        member._value_ = value
        return member

    @classmethod
    def lookup(cls) -> Callable[[int], Self]:
        """A function from number to member, by dict: ten times cheaper than calling the enum."""
        return cast(Callable[[int], Self], _Lookup(cls).__getitem__)

    @property
    def assigned(self) -> bool:
        """Whether the number has a name in this registry."""
        return self._name_ in type(self).__members__

    def __str__(self) -> str:
        return self._name_


class _Lookup(dict[int, "Registry"]):
    def __init__(self, registry: type[Registry]) -> None:
        super().__init__({member.value: member for member in registry})
        self._registry = registry

    def __missing__(self, number: int) -> Registry:
        found = self._registry(number)
        if number < KEPT_BELOW:
            self[number] = found
        return found
