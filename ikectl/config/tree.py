"""The tree of sections every source of configuration becomes: files, TOML, vici messages."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ikectl.errors import ConfigError, ConfigErrors

MAX_DEPTH = 16
MAX_ERRORS = 100
MAX_VALUES = 100_000
MAX_CHAIN = 100
"""How many sections and references may lead through one another."""

ViciTree = Mapping[str, "bytes | Sequence[bytes] | ViciTree"]
"""A decoded vici message: values, lists of values, and sections."""


class Place(NamedTuple):
    """Where something was written; empty for what came over the control socket. Line 0: the whole file."""

    path: str = ""
    line: int = 0


NOWHERE = Place()


@dataclass(frozen=True, slots=True, repr=False)
class Value:
    """The octets of an option, or of each item when it was written as a list.

    Does not print them: any option may turn out to be a secret.
    """

    octets: bytes
    place: Place = NOWHERE
    items: tuple[bytes, ...] | None = None

    def __repr__(self) -> str:
        return f"<value at {self.place.path}:{self.place.line}>"

    @property
    def is_unset(self) -> bool:
        """`key =` clears an inherited value: the default holds."""
        return not self.octets and not self.items


@dataclass(slots=True)
class Section:
    """Options and sections by name, in the order they were written."""

    name: str
    place: Place = NOWHERE
    values: dict[str, Value] = field(default_factory=dict)
    sections: dict[str, Section] = field(default_factory=dict)
    references: list[tuple[str, Place]] = field(default_factory=list)
    referred: bool = False
    """Whether another section inherits from this one, or from one in it; set on sections of the root."""


class Errors:
    """Collects mistakes, so that all of them are reported at once."""

    def __init__(self) -> None:
        self.found: list[ConfigError] = []
        self._dropped = 0

    def add(self, why: str, place: Place = NOWHERE) -> None:
        """Only the first MAX_ERRORS are kept; the rest is counted."""
        if len(self.found) >= MAX_ERRORS:
            self._dropped += 1
        elif place.path and not place.line:  # a whole file is at fault
            self.found.append(ConfigError(f"{place.path}: {why}"))
        else:
            self.found.append(ConfigError(why, place.path, place.line))

    def raise_any(self) -> None:
        """Raises ConfigErrors if there was any, those of one file together and in its order."""
        self.found.sort(key=lambda error: (error.path, error.line))
        if self._dropped:
            self.found.append(ConfigError(f"{self._dropped} more mistakes are not shown"))
            self._dropped = 0
        if self.found:
            raise ConfigErrors(self.found)


@dataclass(frozen=True, slots=True)
class Files:
    """The file system as configuration needs it; the shell gives the real one.

    `read` gives the octets of a file or raises OSError; `glob` the regular
    files that match a pattern, sorted, none when nothing matches.
    """

    read: Callable[[str], bytes]
    glob: Callable[[str], Sequence[str]]


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing when no known word is near."""
    near = difflib.get_close_matches(word[:80].lower(), sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def from_vici(name: str, message: ViciTree) -> Section:
    """The section a vici message says. Raises ConfigErrors when it is too deep or too large."""
    errors = Errors()
    count = 0

    def convert(name: str, message: ViciTree, depth: int) -> Section:
        nonlocal count
        section = Section(name)
        for key, value in message.items():
            count += 1
            if count > MAX_VALUES:
                break
            if isinstance(value, Mapping):
                if depth == MAX_DEPTH:
                    errors.add(f"{name}: sections more than {MAX_DEPTH} deep")
                else:
                    section.sections[key] = convert(key, value, depth + 1)
            elif isinstance(value, bytes):
                section.values[key] = Value(value)
            else:
                count += len(value)
                section.values[key] = Value(b"", NOWHERE, tuple(value))
        return section

    section = convert(name, message, 1)
    if count > MAX_VALUES:
        errors.add(f"{name}: more than {MAX_VALUES} values")
    errors.raise_any()
    return section


def resolve(root: Section, errors: Errors) -> Section:
    """The tree with every reference (`a : b`) replaced by what it inherits, and unset values gone.

    What a section says itself comes first and wins; then its references from
    left to right, each with what it inherits in turn.
    """
    done: dict[int, Section] = {}
    under_way: set[int] = set()
    referred: set[str] = set()

    def finish(section: Section) -> Section:
        known = done.get(id(section))
        if known is not None:
            return known
        if len(under_way) == MAX_CHAIN:
            errors.add(f"{section.name}: more than {MAX_CHAIN} sections refer through one another", section.place)
            return Section(section.name, section.place)
        under_way.add(id(section))
        merged = Section(section.name, section.place, dict(section.values))
        merged.sections = {name: finish(child) for name, child in section.sections.items()}
        for path, place in section.references:
            target = _find(root, path)
            if target is None:
                errors.add(f"{section.name}: there is no section {path!r} to refer to", place)
            elif id(target) in under_way:
                errors.add(f"{section.name}: the reference to {path!r} leads back to itself", place)
            else:
                merged = _inherit(merged, finish(target))
                parts = path.split(".")
                referred.update(".".join(parts[:count]) for count in range(1, len(parts) + 1))
        under_way.discard(id(section))
        done[id(section)] = merged
        return merged

    resolved = _without_unset(finish(root), {})
    for name, section in resolved.sections.items():
        section.referred = name in referred
    return resolved


def _find(root: Section, path: str) -> Section | None:
    """By absolute name; names may contain dots themselves, so every split is tried, longest name first."""
    if path in root.sections:
        return root.sections[path]
    head = path
    while "." in head:
        head = head.rpartition(".")[0]
        if head in root.sections:
            found = _find(root.sections[head], path[len(head) + 1 :])
            if found is not None:
                return found
    return None


def _inherit(section: Section, base: Section) -> Section:
    merged = Section(section.name, section.place, {**section.values})
    for key, value in base.values.items():
        merged.values.setdefault(key, value)
    merged.sections = dict(section.sections)
    for name, child in base.sections.items():
        mine = merged.sections.get(name)
        merged.sections[name] = _inherit(mine, child) if mine else child
    return merged


def _without_unset(section: Section, done: dict[int, Section]) -> Section:
    known = done.get(id(section))
    if known is None:
        known = done[id(section)] = Section(section.name, section.place)
        known.values = {key: value for key, value in section.values.items() if not value.is_unset}
        known.sections = {name: _without_unset(child, done) for name, child in section.sections.items()}
    return known
