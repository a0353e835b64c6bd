"""Passwords: what users log in with, by name. For XAUTH: those of others, and our own where we log in."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from ikectl.errors import CredentialError
from ikectl.iana.v2 import IdType
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.values.secret import Secret

_TEXT_KINDS = (IdType.FQDN, IdType.RFC822_ADDR, IdType.KEY_ID)


class Passwords:
    """A secret for each name of a user; capitals make another name.

    Owners are identities, because configurations write them so: the name is
    the text of one. A user with several secrets has the one loaded first.
    """

    def __init__(self) -> None:
        self._users: dict[object, tuple[bytes, ...]] = {}
        self._secrets: dict[bytes, dict[object, Secret]] = {}
        self._numbers = count()

    def add(self, name: str, owners: Iterable[IdentityPattern | Identity], secret: bytes) -> None:
        """Adds a password; one of the same name is replaced. Without a name it stays until `clear`.

        Raises CredentialError: it is empty, or belongs to nobody in particular.
        """
        identities = [owner if isinstance(owner, Identity) else owner.identity for owner in owners]
        users = tuple(_name(identity) for identity in identities if identity is not None)
        if not secret or not users or len(users) != len(identities):
            raise CredentialError("a password must not be empty, and needs the names of its users")
        label: object = name or next(self._numbers)
        self.remove(label)
        self._users[label] = users
        for user in users:
            self._secrets.setdefault(user, {})[label] = Secret(secret)

    def remove(self, name: object) -> bool:
        """Whether there was one of that name."""
        users = self._users.pop(name, ())
        for user in dict.fromkeys(users):
            del self._secrets[user][name]
            if not self._secrets[user]:
                del self._secrets[user]
        return bool(users)

    def clear(self) -> None:
        self._users.clear()
        self._secrets.clear()

    def find(self, user: str) -> Secret | None:
        """The password of the user of that name."""
        found = self._secrets.get(user.encode(errors="replace"))
        return next(iter(found.values())) if found else None


def _name(identity: Identity) -> bytes:
    return identity.data if identity.kind in _TEXT_KINDS else str(identity).encode()
