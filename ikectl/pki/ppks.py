"""Ppks: post-quantum pre-shared keys by their identities (RFC 8784)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from ikectl.errors import CredentialError
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.values.secret import Secret


class Ppks:
    """A key for each identity, which on the wire is octets without a kind.

    One without identities fits any, as in swanctl. Of several the one loaded first is meant.
    """

    def __init__(self) -> None:
        self._identities: dict[object, tuple[bytes, ...]] = {}
        self._keys: dict[bytes, dict[object, Secret]] = {}
        self._for_any: dict[object, Secret] = {}
        self._numbers = count()

    def add(self, name: str, owners: Iterable[IdentityPattern | Identity], key: bytes) -> None:
        """Adds a key; one of the same name is replaced. Without a name it stays until `clear`.

        Raises CredentialError: it is empty, or an owner is a pattern.
        """
        identities = [owner if isinstance(owner, Identity) else owner.identity for owner in owners]
        exact = tuple(identity.data for identity in identities if identity is not None)
        if not key or len(exact) != len(identities):
            raise CredentialError("a post-quantum key must not be empty, and its identities are no patterns")
        label: object = name or next(self._numbers)
        self.remove(label)
        self._identities[label] = exact
        if not exact:
            self._for_any[label] = Secret(key)
        for identity in exact:
            self._keys.setdefault(identity, {})[label] = Secret(key)

    def remove(self, name: object) -> bool:
        """Whether there was one of that name."""
        identities = self._identities.pop(name, None)
        self._for_any.pop(name, None)
        for identity in dict.fromkeys(identities or ()):
            del self._keys[identity][name]
            if not self._keys[identity]:
                del self._keys[identity]
        return identities is not None

    def clear(self) -> None:
        self._identities.clear()
        self._keys.clear()
        self._for_any.clear()

    def __bool__(self) -> bool:
        return bool(self._identities)

    def find(self, identity: bytes) -> Secret | None:
        """The key of that identity."""
        found = self._keys.get(identity) or self._for_any
        return next(iter(found.values()), None)
