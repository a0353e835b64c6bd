"""swanctl.conf text, or TOML of the same tree, to sections with file and line.

The grammar is that of strongSwan's settings files: sections in braces,
`key = value`, `#` comments, quoted strings, `include`, and references to
other sections (`name : base, other { ... }`).

Errors never quote a value, nor a line: it might be a secret.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping

from ikectl.config.tree import MAX_DEPTH, Errors, Files, Place, Section, Value, resolve

MAX_INCLUDES = 10
"""How deep includes nest."""
MAX_FILES = 10_000
MAX_OCTETS = 64 << 20
"""Of all files together."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t\r]*")
_NAME = re.compile(r'[^\s{}=:,"#]+')
_WORD = re.compile(r'[^#}"\n\t\r ]+')
_REFERENCE = re.compile(r'[^\s{}=:,"#]+')
_REST_OF_LINE = re.compile(r"[^\n]*")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "\n": ""}


class _SyntaxError(Exception):
    def __init__(self, why: str, line: int) -> None:
        super().__init__(why)
        self.why = why
        self.line = line


def parse_file(path: str, files: Files, errors: Errors) -> Section:
    """The tree of a file and all it includes, references resolved. Mistakes go to `errors`."""
    root = Section("", Place(path, 0))
    _Reader(files, errors).file(root, path, Place(path, 0), 0)
    return resolve(root, errors)


def parse_text(text: str, errors: Errors, path: str = "swanctl.conf") -> Section:
    """The tree of swanctl.conf text that includes nothing."""
    root = Section("", Place(path, 0))
    reader = _Reader(Files(_no_file, lambda pattern: ()), errors)
    _Statements(text, path, root, reader, 0).run()
    return resolve(root, errors)


def parse_toml(text: str, errors: Errors, path: str = "swanctl.toml") -> Section:
    """The tree of TOML text that includes nothing."""
    root = Section("", Place(path, 0))
    _Reader(Files(_no_file, lambda pattern: ()), errors).toml(root, text, path, 0)
    return resolve(root, errors)


def _no_file(path: str) -> bytes:
    raise FileNotFoundError(2, "No such file or directory")


class _Reader:
    """Reads files into a section, following includes."""

    def __init__(self, files: Files, errors: Errors) -> None:
        self.files = files
        self.errors = errors
        self.count = 0
        self.octets = 0

    def file(self, into: Section, path: str, place: Place, level: int) -> None:
        self.count += 1
        if self.count > MAX_FILES:
            self.errors.add(f"more than {MAX_FILES} files are included", place)
            return
        try:
            octets = self.files.read(path)
        except OSError as error:
            where = Place(path, 0) if not place.line else place
            self.errors.add(f"cannot read {path}: {error.strerror or type(error).__name__}", where)
            return
        self.octets += len(octets)
        if self.octets > MAX_OCTETS:
            self.errors.add(f"{path}: the configuration is larger than {MAX_OCTETS >> 20} MiB", place)
            return
        try:
            text = octets.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = octets.count(b"\n", 0, error.start) + 1
            self.errors.add("the text is not valid UTF-8", Place(path, line))
            return
        if path.endswith(".toml"):
            self.toml(into, text, path, level)
        else:
            _Statements(text, path, into, self, level).run()

    def include(self, into: Section, pattern: str, place: Place, level: int) -> None:
        """A pattern that matches nothing includes nothing, so that an empty conf.d is no mistake."""
        if level >= MAX_INCLUDES:
            self.errors.add(f"includes nest deeper than {MAX_INCLUDES}", place)
            return
        full = posixpath.join(posixpath.dirname(place.path), pattern)
        found = self.files.glob(full)
        if not found and not re.search(r"[*?\[]", pattern):
            self.errors.add(f"include: there is no file {full}", place)
        for path in found:
            self.file(into, path, place, level + 1)

    def toml(self, root: Section, text: str, path: str, level: int) -> None:
        """TOML tables are sections; arrays of strings or numbers are lists."""
        text = text.replace("\r\n", "\n")
        try:
            tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            self.errors.add(*_toml_error(error, text, path))
            return
        for line, keys, value in _toml_values(text):
            place = Place(path, line)
            if keys == ("include",):
                for pattern in value if isinstance(value, list) else [value]:
                    self.include(root, str(pattern), place, level)
                continue
            self._put(root, keys, value, place)

    def _put(self, root: Section, keys: tuple[str, ...], value: object, place: Place) -> None:
        if len(keys) > MAX_DEPTH:
            self.errors.add(f"sections more than {MAX_DEPTH} deep", place)
            return
        into = root
        table = isinstance(value, Mapping)
        for name in keys if table else keys[:-1]:
            into = into.sections.setdefault(name, Section(name, place))
        if table:
            return
        name = keys[-1]
        if isinstance(value, list):
            items = [_toml_text(item) for item in value]
            if None in items:
                self.errors.add(f"{name}: a list holds strings or numbers only", place)
            else:
                into.values[name] = Value(b"", place, tuple(item for item in items if item is not None))
            return
        octets = _toml_text(value)
        if octets is None:
            self.errors.add(f"{name}: write a string, a number, true, false or a list of these", place)
        else:
            into.values[name] = Value(octets, place)


class _Statements:
    """The statements of one swanctl.conf text, read into a section."""

    def __init__(self, text: str, path: str, root: Section, reader: _Reader, level: int) -> None:
        self.text = text
        self.path = path
        self.at = 0
        self.line = 1
        self.open = [root]
        self.reader = reader
        self.level = level

    def run(self) -> None:
        """After a mistake, goes on with the next line."""
        while True:
            try:
                self._skip(_BLANK)
                if self.at >= len(self.text):
                    break
                self._statement()
            except _SyntaxError as error:
                self.reader.errors.add(error.why, Place(self.path, error.line))
                self._skip(_REST_OF_LINE)
        for section in self.open[1:]:
            self.reader.errors.add(f"{section.name}: the section is never closed; add a }}", section.place)

    def _statement(self) -> None:
        if self._take("}"):
            if len(self.open) == 1:
                raise _SyntaxError("a } closes nothing", self.line)
            self.open.pop()
            return
        place = Place(self.path, self.line)
        quoted = self._peek() == '"'
        name = self._name()
        if name == "include" and not quoted and self._peek() in (" ", "\t"):
            self._skip(_SPACE)
            if self._peek() not in ("=", "{", ":"):
                pattern = self._value()
                self.reader.include(self.open[-1], pattern, place, self.level)
                return
        self._skip(_SPACE)
        if self._take("="):
            self.open[-1].values[name] = Value(self._value().encode(errors="replace"), place)
            return
        after_name = self.at, self.line
        self._skip(_BLANK)
        references = self._references() if self._take(":") else []
        if not self._take("{"):
            self.at, self.line = after_name
            raise _SyntaxError("expected = and a value, or { and a section, after a name", place.line)
        if len(self.open) > MAX_DEPTH:
            raise _SyntaxError(f"sections more than {MAX_DEPTH} deep", place.line)
        section = self.open[-1].sections.setdefault(name, Section(name, place))
        section.references += references
        self.open.append(section)

    def _references(self) -> list[tuple[str, Place]]:
        found = []
        while True:
            self._skip(_BLANK)
            line = self.line
            name = self._skip(_REFERENCE)
            if not name:
                raise _SyntaxError("expected the name of a section to refer to", line)
            found.append((name, Place(self.path, line)))
            self._skip(_BLANK)
            if not self._take(","):
                return found

    def _name(self) -> str:
        if self._peek() == '"':
            return self._quoted()
        name = self._skip(_NAME)
        if not name:
            raise _SyntaxError(f"unexpected {self._peek()!r} where a name should be", self.line)
        return name

    def _value(self) -> str:
        """Words and quoted strings up to the end of the line, a comment or a brace, joined by blanks."""
        words: list[str] = []
        while True:
            self._skip(_SPACE)
            letter = self._peek()
            if letter in ("", "\n", "#", "}"):
                return " ".join(words)
            words.append(self._quoted() if letter == '"' else self._skip(_WORD))

    def _quoted(self) -> str:
        """May run over several lines; a backslash before the line's end joins them."""
        line = self.line
        start = self.at = self.at + 1
        pieces = []
        text = self.text
        while self.at < len(text) and text[self.at] != '"':
            if text[self.at] == "\\" and self.at + 1 < len(text):
                escaped = text[self.at + 1]
                pieces.append(text[start : self.at] + _ESCAPES.get(escaped, escaped))
                self.line += escaped == "\n"
                self.at += 2
                start = self.at
            else:
                self.line += text[self.at] == "\n"
                self.at += 1
        if self.at >= len(text):
            del self.open[1:]  # what they lack follows from this
            raise _SyntaxError("a quoted string is never closed", line)
        pieces.append(text[start : self.at])
        self.at += 1
        return "".join(pieces)

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _take(self, letter: str) -> bool:
        if self._peek() != letter:
            return False
        self.at += 1
        return True

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        assert match is not None or pattern in (_NAME, _WORD, _REFERENCE)
        found = match[0] if match else ""
        self.at += len(found)
        self.line += found.count("\n")
        return found


def _toml_text(value: object) -> bytes | None:
    if isinstance(value, bool):
        return b"yes" if value else b"no"
    if isinstance(value, int):
        return str(value).encode()
    return value.encode() if isinstance(value, str) else None


def _toml_error(error: Exception, text: str, path: str) -> tuple[str, Place]:
    """The library's reason without what it may quote, and its line."""
    found = re.search(r"\(at line (\d+)", str(error))
    at_end = str(error).endswith("(at end of document)")
    line = int(found[1]) if found else text.count("\n") + 1 if at_end else 0
    reason = re.sub(r" \(at .*\)$", "", str(error)) if isinstance(error, tomllib.TOMLDecodeError) else "nested too deep"
    return f"not TOML: {re.sub(r'[:=] .*', '', reason)}", Place(path, line)


def _toml_values(text: str) -> Iterator[tuple[int, tuple[str, ...], object]]:
    """(line, path, value) of each value and table of a document known to be valid.

    The library does not tell lines, so each statement is parsed alone: lines
    are gathered until they parse.
    """
    prefix: tuple[str, ...] = ()
    gathered: list[str] = []
    start = 1
    for number, line in enumerate(text.split("\n"), 1):
        if not gathered:
            start = number
            if not line.strip() or line.lstrip().startswith("#"):
                continue
        gathered.append(line)
        if len(gathered) > 1 and not re.search(r"\]|\"\"\"|'''", line):
            continue
        try:
            statement = tomllib.loads("\n".join(gathered))
        except tomllib.TOMLDecodeError:
            continue
        header = gathered[0].lstrip().startswith("[")
        gathered = []
        if header:
            prefix = _only_path(statement)
            yield start, prefix, None if line.lstrip().startswith("[[") else {}
        else:
            for keys, value in _leaves(statement):
                yield start, prefix + keys, value


def _only_path(table: Mapping[str, object]) -> tuple[str, ...]:
    path: list[str] = []
    level: object = table
    while isinstance(level, (Mapping, list)) and level:
        if isinstance(level, list):
            level = level[0]
            continue
        key = next(iter(level))
        path.append(key)
        level = level[key]
    return tuple(path)


def _leaves(table: Mapping[str, object], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    for key, value in table.items():
        keys = (*above, key)
        if isinstance(value, Mapping):
            yield keys, {}
            if len(keys) <= MAX_DEPTH:
                yield from _leaves(value, keys)
        else:
            yield keys, value
