"""SharedSecrets: pre-shared keys and whom they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, count

from ikectl.errors import CredentialError
from ikectl.values.identity import MATCH_ANY, MATCH_EXACT, ExactIdentity, Identity, IdentityPattern
from ikectl.values.secret import Secret


@dataclass(frozen=True, slots=True)
class _Entry:
    owners: tuple[IdentityPattern, ...]
    secret: Secret
    keys: frozenset[bytes] | None = field(compare=False)
    """The owners as index keys; None when one is a pattern or there is none."""
    order: int = field(compare=False)

    def score(self, ours: _End, theirs: _End) -> tuple[int, int, int] | None:
        """(fit for the peer, fit for us, earliness); None if it is not for these two."""
        if not self.owners:
            return MATCH_ANY, MATCH_ANY, -self.order
        if self.keys is not None:  # all exact: no need to compare what is hashed already
            fit = MATCH_EXACT if theirs.key in self.keys else MATCH_ANY if theirs.unknown else 0
            own = MATCH_EXACT if ours.key in self.keys else 0
            only_ours = own and len(self.keys) == 1
        else:
            fit = max(owner.match(theirs.identity) for owner in self.owners)
            fit = fit or (MATCH_ANY if theirs.unknown else 0)
            matches = [owner.match(ours.identity) for owner in self.owners]
            own, only_ours = max(matches), all(matches)
        return (fit, own, -self.order) if fit or only_ours else None


class _End:
    """One end of an SA: who it is, or by its address who it may be."""

    __slots__ = ("identity", "key", "unknown")

    def __init__(self, identity: Identity, address: bytes) -> None:
        self.unknown = identity.is_any
        self.identity = Identity.of_address(address) if self.unknown else identity
        self.key = self.identity.folded


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
        self._of_owner: dict[bytes, dict[object, _Entry]] = {}
        self._of_sole_owner: dict[bytes, dict[object, _Entry]] = {}
        self._of_patterns: dict[object, _Entry] = {}

    def add(self, name: str, owners: Iterable[IdentityPattern | Identity], secret: bytes) -> None:
        """Adds a secret; one of the same name is replaced. Without a name it stays until `clear`."""
        if not secret:
            raise CredentialError("an empty shared secret")
        patterns = tuple(ExactIdentity(owner) if isinstance(owner, Identity) else owner for owner in owners)
        exact = [owner.identity for owner in patterns]
        keys = frozenset(identity.folded for identity in exact if identity) if all(exact) else None
        order = next(self._numbers)
        entry = _Entry(patterns, Secret(secret), keys or None, order)
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
            if not self._of_sole_owner.get(key, True):
                del self._of_sole_owner[key]
        return True

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of loading."""
        return tuple(name for name in self._entries if isinstance(name, str))

    def clear(self) -> None:
        for name in tuple(self._entries):
            self.remove(name)

    def find(
        self, local: Identity, remote: Identity, local_address: bytes, remote_address: bytes, named: bool = False
    ) -> Secret:
        """The secret shared by two identities at two packed addresses. Raises CredentialError.

        `named`: only one whose owners name the peer exactly, not one that is for anybody or for many.
        """
        ours, theirs = _End(local, local_address), _End(remote, remote_address)
        best: tuple[int, int, int] | None = None
        found: Secret | None = None
        if theirs.unknown:
            candidates: Iterable[_Entry] = self._entries.values()
        else:
            of_them, of_us = self._of_owner.get(theirs.key, _NONE), self._of_sole_owner.get(ours.key, _NONE)
            candidates = chain(of_them.values(), of_us.values(), self._of_patterns.values())
        for entry in candidates:
            score = entry.score(ours, theirs)
            if score is None or (named and score[0] != MATCH_EXACT):
                continue
            if best is None or score > best:
                best, found = score, entry.secret
        if found is None:
            raise CredentialError(f"no shared secret of {ours.identity} and {theirs.identity} is loaded")
        return found

    def _indices(self, entry: _Entry) -> Iterator[dict[object, _Entry]]:
        keys = entry.keys
        if keys is None:
            yield self._of_patterns
            return
        for key in keys:
            yield self._of_owner.setdefault(key, {})
            if len(keys) == 1:
                yield self._of_sole_owner.setdefault(key, {})


_NONE: dict[object, _Entry] = {}
