"""SharedSecrets: pre-shared keys and whom they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from ikectl.errors import CredentialError
from ikectl.iana.v2 import IdType
from ikectl.values.identity import MATCH_ANY, ExactIdentity, Identity, IdentityPattern
from ikectl.values.secret import Secret


@dataclass(frozen=True, slots=True)
class _Entry:
    owners: tuple[IdentityPattern, ...]
    secret: Secret
    order: int = field(compare=False)

    @property
    def keys(self) -> frozenset[object] | None:
        """The owners as index keys; None when one is a pattern or there is none."""
        exact = [owner.identity for owner in self.owners]
        if not exact or None in exact:
            return None
        return frozenset(_key(identity) for identity in exact if identity)

    def score(self, local: Identity, remote: Identity, unknown: bool) -> tuple[int, int, int] | None:
        """(fit for the peer, fit for us, earliness); None if it is not for these two.

        `unknown`: `remote` is only the address of a peer that may be any of the owners.
        """
        if not self.owners:
            return MATCH_ANY, MATCH_ANY, -self.order
        theirs = max(owner.match(remote) for owner in self.owners) or (MATCH_ANY if unknown else 0)
        ours = [owner.match(local) for owner in self.owners]
        return (theirs, max(ours), -self.order) if theirs or all(ours) else None


class SharedSecrets:
    """Finds the secret for two ends, at a cost that does not grow with the number of secrets.

    A secret fits when one of its owners is the peer, or when all of them are
    ourselves, or when it has no owner. The best fit for the peer wins, then
    the best for us, then the one loaded first. Stricter than swanctl in one
    point: a secret that names us and other peers is not tried with a peer it
    does not name, or any of those could pass for it. While the peer's identity
    is not known (`%any`, an initiator that expects nobody in particular) its
    address stands in for it, and every secret is a candidate.
    """

    def __init__(self) -> None:
        self._entries: dict[object, _Entry] = {}
        self._numbers = count()
        self._of_owner: dict[object, dict[object, _Entry]] = {}
        self._of_all_owners: dict[object, dict[object, _Entry]] = {}
        self._of_patterns: dict[object, _Entry] = {}

    def add(self, name: str, owners: Iterable[IdentityPattern | Identity], secret: bytes) -> None:
        """Adds a secret; one of the same name is replaced. Without a name it stays until `clear`."""
        if not secret:
            raise CredentialError("an empty shared secret")
        patterns = tuple(ExactIdentity(owner) if isinstance(owner, Identity) else owner for owner in owners)
        order = next(self._numbers)
        entry = _Entry(patterns, Secret(secret), order)
        if not name and entry in self._entries.values():
            return
        label: object = name or order
        self.remove(label)
        self._entries[label] = entry
        for index in self._indices(entry):
            index[label] = entry

    def remove(self, name: object) -> bool:
        """Whether there was one of that name."""
        entry = self._entries.pop(name, None)
        if entry is None:
            return False
        for index in self._indices(entry):
            index.pop(name, None)
        for key in entry.keys or ():
            if not self._of_owner[key]:
                del self._of_owner[key]
        if entry.keys and not self._of_all_owners[entry.keys]:
            del self._of_all_owners[entry.keys]
        return True

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of loading."""
        return tuple(name for name in self._entries if isinstance(name, str))

    def clear(self) -> None:
        for name in tuple(self._entries):
            self.remove(name)

    def find(self, local: Identity, remote: Identity, local_address: bytes, remote_address: bytes) -> Secret:
        """The secret shared by two identities at two packed addresses. Raises CredentialError."""
        unknown = remote.is_any
        ours = Identity.of_address(local_address) if local.is_any else local
        theirs = Identity.of_address(remote_address) if unknown else remote
        best: tuple[int, int, int] | None = None
        found: Secret | None = None
        for entry in self._entries.values() if unknown else self._candidates(ours, theirs):
            score = entry.score(ours, theirs, unknown)
            if score is not None and (best is None or score > best):
                best, found = score, entry.secret
        if found is None:
            raise CredentialError(f"no shared secret of {ours} and {theirs} is loaded")
        return found

    def _candidates(self, local: Identity, remote: Identity) -> Iterator[_Entry]:
        yield from self._of_owner.get(_key(remote), {}).values()
        yield from self._of_all_owners.get(frozenset((_key(local),)), {}).values()
        yield from self._of_patterns.values()

    def _indices(self, entry: _Entry) -> Iterator[dict[object, _Entry]]:
        keys = entry.keys
        if keys is None:
            yield self._of_patterns
            return
        for key in keys:
            yield self._of_owner.setdefault(key, {})
        yield self._of_all_owners.setdefault(keys, {})


def _key(identity: Identity) -> object:
    """Equal for identities that are `same`."""
    if identity.kind in (IdType.FQDN, IdType.RFC822_ADDR):
        return identity.kind, identity.data.lower()
    rdns = identity.rdns
    if rdns is None:
        return identity.kind, identity.data
    return identity.kind, tuple(
        tuple((a.oid, a.tag, a.value) if a.text is None else (a.oid, " ".join(a.text.split()).casefold()) for a in rdn)
        for rdn in rdns
    )
