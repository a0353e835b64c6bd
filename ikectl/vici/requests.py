"""What each command may be asked, as records; a key that no record knows is refused by name.

The key of a field is its name with dashes. Text values are text; numbers are
decimal; flags are yes or no, in any of the words vici clients use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, ClassVar, Self

from ikectl.engine.commands import Selection
from ikectl.errors import IkectlError
from ikectl.vici.message import Node, Tree


class RequestError(IkectlError):
    """The request cannot be served as it stands; the text goes to the client."""


YES = frozenset(("yes", "true", "enabled", "1"))
NO = frozenset(("no", "false", "disabled", "0", ""))


def _flag(key: str, node: Node) -> bool:
    word = _text(key, node).lower()
    if word in YES:
        return True
    if word in NO:
        return False
    raise RequestError(f"{key}: '{word}' is neither yes nor no")


def _number(key: str, node: Node) -> int:
    word = _text(key, node)
    try:
        return int(word)
    except ValueError:
        raise RequestError(f"{key}: '{word}' is not a number") from None


def _text(key: str, node: Node) -> str:
    try:
        return _octets(key, node).decode()
    except UnicodeDecodeError:
        raise RequestError(f"{key}: not UTF-8 text") from None


def _octets(key: str, node: Node) -> bytes:
    if not isinstance(node, bytes):
        raise RequestError(f"{key}: a value belongs here, not a {'list' if isinstance(node, list) else 'section'}")
    return node


# By the annotation of the field.
READERS = {"str": _text, "int": _number, "bool": _flag}


@dataclass(frozen=True, slots=True)
class Request:
    """No keys at all; the base of the others."""

    NOT_BUILT: ClassVar[dict[str, str]] = {}
    """Keys that vici knows and we do not serve yet, with what to say; a flag set to no is let through."""

    @classmethod
    def read(cls, tree: Tree) -> Self:
        """Raises RequestError: an unknown key, or a value that is none of its kind."""
        known = {each.name.rstrip("_").replace("_", "-"): each for each in fields(cls)}
        values: dict[str, Any] = {}
        for key, node in tree.items():
            if key in cls.NOT_BUILT:
                if node and not (isinstance(node, bytes) and node.decode(errors="replace").lower() in NO):
                    raise RequestError(cls.NOT_BUILT[key])
                continue
            known_field = known.get(key)
            if known_field is None:
                raise RequestError(f"unknown key '{key}'" + near(key, known))
            values[known_field.name] = READERS[str(known_field.type)](key, node)
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Nothing(Request):
    """A command without arguments."""


@dataclass(frozen=True, slots=True)
class Named(Request):
    """unload-conn, unload-authority, list-authorities, unload-pool."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class Identified(Request):
    """unload-key, unload-shared."""

    id: str = ""


@dataclass(frozen=True, slots=True)
class Initiate(Request):
    child: str = ""
    ike: str = ""
    timeout: int = 0
    """Milliseconds; 0 waits as long as it takes, -1 not at all."""
    init_limits: bool = False
    """Give up when too much else is going on. We keep no such limits, so it changes nothing."""
    loglevel: int = 1


@dataclass(frozen=True, slots=True)
class Install(Request):
    """install, uninstall."""

    child: str = ""
    ike: str = ""


@dataclass(frozen=True, slots=True)
class ListPolicies(Request):
    drop: bool = False
    pass_: bool = False
    trap: bool = False
    child: str = ""
    ike: str = ""


@dataclass(frozen=True, slots=True)
class Select(Request):
    """SAs by name or number."""

    child: str = ""
    ike: str = ""
    child_id: int = 0
    ike_id: int = 0

    @property
    def selection(self) -> Selection:
        return Selection(self.ike, self.child, self.ike_id, self.child_id)


@dataclass(frozen=True, slots=True)
class Terminate(Select):
    force: bool = False
    timeout: int = 0
    loglevel: int = 1


@dataclass(frozen=True, slots=True)
class Rekey(Select):
    reauth: bool = False


@dataclass(frozen=True, slots=True)
class Configure(Select):
    ask: bool = False


@dataclass(frozen=True, slots=True)
class Redirect(Request):
    ike: str = ""
    ike_id: int = 0
    peer_ip: str = ""
    """An address, a network or a range."""
    peer_id: str = ""
    """With wildcards."""
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class ListSas(Select):
    noblock: bool = False
    """Do not wait for busy SAs: no SA of ours is ever waited for."""


@dataclass(frozen=True, slots=True)
class ListConns(Request):
    ike: str = ""


@dataclass(frozen=True, slots=True)
class ListCerts(Request):
    type: str = "ANY"
    flag: str = "ANY"
    subject: str = ""


@dataclass(frozen=True, slots=True)
class FlushCerts(Request):
    type: str = "ANY"


@dataclass(frozen=True, slots=True)
class GetPools(Request):
    leases: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class Raw(Request):
    """The whole message, which `config.build` reads: load-cert, load-key, load-shared."""

    tree: Tree = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, tree: Tree) -> Self:
        return cls(tree)


@dataclass(frozen=True, slots=True)
class Section(Request):
    """Exactly one section, whose name is the thing's: load-conn, load-authority, load-pool."""

    name: str = ""
    tree: Tree = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, tree: Tree) -> Self:
        if len(tree) != 1:
            raise RequestError(f"exactly one section belongs here, and there are {len(tree)}")
        ((name, node),) = tree.items()
        if not isinstance(node, dict):
            raise RequestError(f"{name}: a section belongs here")
        return cls(name, node)


def near(word: str, known: Iterable[str]) -> str:
    """A hint for a word that is not known: what it may have meant, or what there is; empty if nothing."""
    names = list(known)
    close = get_close_matches(word, names, 3, 0.6)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    if not names:
        return ""
    shown = ", ".join(sorted(names)[:10]) + (", ..." if len(names) > 10 else "")
    return f"; there is {shown}"
