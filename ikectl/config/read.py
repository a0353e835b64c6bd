"""A section read by its schema group: every value checked and typed, every mistake noted."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ikectl.config.schema import MAX_LIST, Group, Option
from ikectl.config.tree import Errors, Place, Section, Value, suggestion

MAX_VALUE = 65535
"""Octets of a value: what a vici message can carry."""
_MAX_SHOWN = 40


@dataclass(slots=True)
class Checked:
    """What a section says, by option: values of the model, defaults where nothing was said.

    `values` holds every built option of the group; None (an empty tuple for
    a list) when there is neither a value nor a fixed default. Options of a
    pattern such as `id*` are in `extra` by the name they were given.
    """

    section: Section
    label: str
    values: dict[str, Any] = field(default_factory=dict, repr=False)
    extra: dict[str, Any] = field(default_factory=dict, repr=False)
    good: bool = True

    def says(self, key: str) -> bool:
        """Whether the option is set here, rather than left to its default."""
        value = self.section.values.get(key)
        return value is not None and not value.is_unset

    def place(self, key: str) -> Place:
        """Where the option stands, or its section when it does not."""
        value = self.section.values.get(key)
        return value.place if value else self.section.place


def check(section: Section, group: Group, label: str, errors: Errors) -> Checked:
    """Reads the options of a section. The sections in it are the caller's.

    `label` names the section in messages. Unknown options and those not
    built are mistakes.
    """
    before = len(errors.found)
    checked = Checked(section, label)
    checked.values.update(_presets(group))
    for key, value in section.values.items():
        option = group.option(key)
        if option is None:
            hint = suggestion(key, group.names)
            if group.group(key) is not None and (key in group.names or not hint):
                errors.add(f"{label}.{key}: a section, not an option; write {key} {{ }}", value.place)
            else:
                # `remote_adrs` has the form of a section's name, and is a slip of an option's all the same.
                errors.add(f"{label}: unknown option {_shown(key)}{hint}", value.place)
            continue
        if value.is_unset:
            continue
        name = f"{label}.{key}" if label else key
        if option.only is not None:
            _refuse(option, value, name, errors)
            continue
        read = _read_list(option, value, name, errors) if option.many else _read_one(option, value, name, errors)
        if option.is_pattern:
            checked.extra[key] = read
        else:
            checked.values[key] = read
    for name, child in section.sections.items():
        if group.group(name) is None:
            if group.option(name) is not None:
                errors.add(f"{label}.{name}: an option, not a section; write {name} = value", child.place)
            else:
                where = f"{label}: " if label else ""
                errors.add(f"{where}unknown section {_shown(name)}{suggestion(name, group.names)}", child.place)
    checked.good = len(errors.found) == before
    return checked


@cache
def _presets(group: Group) -> dict[str, Any]:
    return {option.key: _preset(option) for option in group.options if option.only is None and not option.is_pattern}


def _preset(option: Option) -> Any:
    if not option.preset:
        return () if option.many else None
    read = option.kind.read(option.preset.encode())
    if not option.many:
        return read
    return read if isinstance(read, tuple) else (read,)


def _refuse(option: Option, value: Value, name: str, errors: Errors) -> None:
    """Takes what happens anyway, refuses everything else by name."""
    wanted = [option.kind.read(text.encode()) for text in option.only or ()]
    if value.items is None:
        try:
            if option.kind.read(value.octets) in wanted:
                return
        except ValueError:
            pass
    advice = f"set it to {option.only[0]} or leave it out" if option.only else "leave it out"
    errors.add(f"{name}: not built yet; {advice}", value.place)


def _read_one(option: Option, value: Value, name: str, errors: Errors) -> Any:
    octets = value.octets
    if value.items is not None:
        if len(value.items) != 1:
            errors.add(f"{name}: takes one value, not a list", value.place)
            return None
        octets = value.items[0]
    return _read(option, octets, value.place, name, errors)


def _read_list(option: Option, value: Value, name: str, errors: Errors) -> tuple[Any, ...]:
    items = items_of(option, value)
    if len(items) > MAX_LIST:
        errors.add(f"{name}: {len(items)} entries are more than {MAX_LIST}", value.place)
        return ()
    found: list[Any] = []
    for item in items:
        read = _read(option, item, value.place, name, errors)
        if isinstance(read, tuple):  # `default` stands for several proposals
            found += read
        elif read is not None:
            found.append(read)
    return tuple(found)


def items_of(option: Option, value: Value) -> tuple[bytes, ...]:
    """The items of a list option; text is split at commas."""
    if value.items is not None:
        return value.items
    if option.kind.raw:
        return (value.octets,)
    return tuple(filter(None, (item.strip() for item in value.octets.split(b","))))


def _read(option: Option, octets: bytes, place: Place, name: str, errors: Errors) -> Any:
    if len(octets) > MAX_VALUE:
        errors.add(f"{name}: longer than {MAX_VALUE} octets", place)
        return None
    try:
        return option.kind.read(octets)
    except ValueError as error:
        errors.add(f"{name}: {error}", place)
        return None


def _shown(name: str) -> str:
    return repr(name if len(name) <= _MAX_SHOWN else name[:_MAX_SHOWN] + "...")
