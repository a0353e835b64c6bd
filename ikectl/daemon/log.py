"""Log lines: structlog set up once, events of the engine as lines, and nothing secret ever.

Secrets are of a type that does not print itself; still every value that a
line would show is looked at, because one careless line is one too many: keys
show their length, other octets likewise, tracebacks hold no local values.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TextIO

import structlog

from ikectl.sa.events import Event
from ikectl.values.secret import Secret

GROUPS = (
    "app", "asn", "cfg", "chd", "dmn", "enc", "esp", "ike", "imc", "imv", "job", "knl", "lib", "mgr", "net", "pts",
    "tls", "tnc",
)  # fmt: skip
"""strongSwan's log groups, whose levels operators' notes name; we write to some of them only."""

DEFAULT_LEVEL = 1
LOWEST, HIGHEST = -1, 4

PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}
"""sd-daemon(3): what the journal makes of `<4>` in front of a line."""

QUIET = ("pyroute2", "pr2modules")
"""Loggers of libraries that may print what they were given, keys among it."""


@dataclass(frozen=True, slots=True)
class Levels:
    """The level up to which events of a group are logged. -1 is silence, 4 all there is."""

    default: int = DEFAULT_LEVEL
    groups: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Levels:
        """From `1`, or `1,ike=2,net=3`. Raises ValueError."""
        default, groups = DEFAULT_LEVEL, {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            group, equals, number = part.rpartition("=")
            try:
                level = int(number)
            except ValueError:
                raise ValueError(f"{part[:40]!r}: the form is 1 or ike=2, several parted by commas") from None
            if not LOWEST <= level <= HIGHEST:
                raise ValueError(f"{part[:40]!r}: levels go from {LOWEST} (silent) to {HIGHEST} (everything)")
            if not equals:
                default = level
            elif group.strip() in GROUPS:
                groups[group.strip()] = level
            else:
                raise ValueError(f"there is no log group {group[:40]!r}; the groups are {' '.join(GROUPS)}")
        return cls(default, groups)

    def shows(self, event: Event) -> bool:
        """Whether somebody wants to read it. Asked before any text is made."""
        return event.level <= self.groups.get(event.group, self.default)


class EventLog:
    """An observer that logs events: `ike moon[1] IKE SA established ...`."""

    def __init__(self, levels: Levels) -> None:
        self._levels = levels
        self._log = structlog.get_logger("ikectl.events")

    def __call__(self, event: Event) -> None:
        if self._levels.shows(event):
            self._log.info(line_of(event), group=event.group)


def line_of(event: Event) -> str:
    """The SA's name in front, then what happened."""
    sa = event.ike
    return event.text() if sa is None else f"{sa.name}[{sa.uniqueid}] {event.text()}"


# -- structlog -----------------------------------------------------------------


def setup(stream: TextIO = sys.stderr) -> None:
    """Log to `stream`: with priorities for the journal where that is at the other end, else with the time."""
    for name in QUIET:
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        logger.setLevel(logging.CRITICAL + 1)
    journal = _is_journal(stream)
    stamps: list[Any] = [] if journal else [structlog.processors.TimeStamper(fmt="iso", utc=False)]
    structlog.configure(
        processors=[structlog.processors.add_log_level, *stamps, Line(journal)],
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_FromLogging()]
    root.setLevel(logging.WARNING)


def _is_journal(stream: TextIO) -> bool:
    """systemd tells device and inode of the stream that leads to the journal."""
    try:
        about = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


class _FromLogging(logging.Handler):
    """What libraries log through the standard library, asyncio above all."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(record.levelno, record.getMessage(), exc_info=record.exc_info)


class Line:
    """The last processor: one line, or several where there is a traceback."""

    def __init__(self, journal: bool) -> None:
        self._journal = journal

    def __call__(self, logger: object, method: str, record: MutableMapping[str, Any]) -> str:
        level = record.pop("level", method)
        front = f"<{PRIORITIES.get(level, 6)}>" if self._journal else f"{record.pop('timestamp', '')} "
        if not self._journal and level != "info":
            front += f"{level}: "
        group = record.pop("group", "dmn")
        text = safe(record.pop("event"))
        trace = _trace(record.pop("exc_info", None))
        more = "".join(f" {key}={_quoted(safe(value))}" for key, value in record.items())
        # Whatever a peer or a library says, it stays on its line and in print.
        lines = [_printable(f"[{group}] {text}{more}"), *map(_printable, trace)]
        return "\n".join(front + line for line in lines)


def safe(value: object) -> str:
    """The text of a value, keys and octets by their length alone."""
    if isinstance(value, Secret):
        return repr(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} octets>"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{safe(key)}: {safe(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(map(safe, value)) + "]"
    return str(value)


def _trace(about: object) -> list[str]:
    """A traceback by files, lines and functions; no source values, no local variables."""
    error: BaseException | None = None
    frames: TracebackType | None = None
    if about is True:
        error = sys.exc_info()[1]
    elif isinstance(about, BaseException):
        error = about
    elif isinstance(about, tuple):
        error = about[1]
    if error is None:
        return []
    frames = error.__traceback__
    lines = [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(frames)]
    return [*lines, f"  {type(error).__name__}: {safe(error)}"]


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text or not text else text


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
