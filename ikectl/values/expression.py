"""Expression: POSIX extended regular expressions over text, without case, in time that a peer cannot blow up.

A peer chooses the text, before it has proven anything. So there is no
backtracking: all ways through the expression are followed at once (Thompson's
construction), which takes at most as many steps as the text has characters
times the expression has instructions. Both are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

MAX_TEXT: Final = 512
"""Characters of a text; longer ones match nothing."""
MAX_INSTRUCTIONS: Final = 500
"""Of a compiled expression, repetitions written out: ten times what a list of a dozen host names takes."""
MAX_REPEAT: Final = 255
"""What `{m,n}` may say, as POSIX has it (RE_DUP_MAX)."""
MAX_DEPTH: Final = 50
"""Parentheses within parentheses."""
MAX_REMEMBERED: Final = 512
"""Steps that an expression remembers, which makes usual texts cheap."""

Test = Callable[[str], bool]


class _Char(NamedTuple):
    """Take one character that passes, and go on with the next instruction."""

    test: Test


class _Split(NamedTuple):
    """Go on at both places, counted from here."""

    one: int
    other: int


class _At(NamedTuple):
    """Go on at the beginning of the text alone, or at its end."""

    end: bool


_Instruction = _Char | _Split | _At
_Code = list[_Instruction]

_CLASSES: dict[str, Test] = {
    "alnum": str.isalnum,
    "alpha": str.isalpha,
    "blank": lambda c: c in " \t",
    "digit": lambda c: "0" <= c <= "9",
    "lower": str.islower,
    "punct": lambda c: c.isascii() and c.isprintable() and not c.isalnum() and c != " ",
    "space": str.isspace,
    "upper": str.isupper,
    "xdigit": lambda c: c in "0123456789abcdefABCDEF",
}
_ESCAPES: dict[str, Test] = {
    "w": lambda c: c.isalnum() or c == "_",
    "W": lambda c: not (c.isalnum() or c == "_"),
    "s": str.isspace,
    "S": lambda c: not c.isspace(),
    "d": lambda c: "0" <= c <= "9",
    "D": lambda c: not "0" <= c <= "9",
}


class Expression:
    """A compiled expression. The same text gives the same one."""

    __slots__ = ("_code", "_steps", "text")

    def __init__(self, text: str) -> None:
        """Raises ValueError, with what is wrong."""
        self.text = text
        self._code = _Parser(text).whole()
        self._steps: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def matches(self, text: str) -> bool:
        """Whether all of `text` is what the expression describes."""
        if len(text) > MAX_TEXT:
            return False
        states = self._reachable([0], True, not text)
        for place, letter in enumerate(text):
            states = self._step(states, letter, place == len(text) - 1)
            if not states:
                return False
        return len(self._code) in states

    def _step(self, states: frozenset[int], letter: str, last: bool) -> frozenset[int]:
        key = (states, letter)
        known = None if last else self._steps.get(key)
        if known is not None:
            return known
        code, found = self._code, []
        for state in states:
            if state < len(code):
                instruction = code[state]
                if isinstance(instruction, _Char) and instruction.test(letter):
                    found.append(state + 1)
        reached = self._reachable(found, False, last)
        if not last:
            if len(self._steps) >= MAX_REMEMBERED:
                self._steps.clear()
            self._steps[key] = reached
        return reached

    def _reachable(self, places: list[int], first: bool, last: bool) -> frozenset[int]:
        """Where one may be, without taking a further character."""
        code, found, waiting = self._code, set(places), list(places)
        while waiting:
            place = waiting.pop()
            instruction = code[place] if place < len(code) else None
            further: tuple[int, ...] = ()
            if isinstance(instruction, _Split):
                further = (place + instruction.one, place + instruction.other)
            elif isinstance(instruction, _At) and (last if instruction.end else first):
                further = (place + 1,)
            for each in further:
                if each not in found:
                    found.add(each)
                    waiting.append(each)
        return frozenset(found)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


@lru_cache(1024)
def compiled(text: str) -> Expression:
    """The expression of that text; connections that say the same share one. Raises ValueError."""
    return Expression(text)


class _Parser:
    """Recursive descent over the grammar of POSIX.1 §9.5.3; code is put together bottom up."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> _Code:
        code = self._branches()
        if self._at < len(self._text):
            raise _wrong("a parenthesis is closed that was never opened")
        return code

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        letter = self._peek()
        self._at += 1
        return letter

    def _branches(self) -> _Code:
        code = self._branch()
        while self._peek() == "|":
            self._take()
            other = self._branch()
            # Split(here, other); code; jump behind other
            code = [_Split(1, len(code) + 2), *code, _Split(len(other) + 1, len(other) + 1), *other]
            _bounded(code)
        return code

    def _branch(self) -> _Code:
        code: _Code = []
        while self._peek() not in ("", "|", ")"):
            code += self._piece()
            _bounded(code)
        return code

    def _piece(self) -> _Code:
        atom = self._atom()
        while self._peek() and self._peek() in "*+?{":
            low, high = self._repeat()
            atom = _repeated(atom, low, high)
            _bounded(atom)
        return atom

    def _repeat(self) -> tuple[int, int | None]:
        sign = self._take()
        if sign != "{":
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        end = self._text.find("}", self._at)
        low, comma, high = self._text[self._at : end].partition(",")
        if end < 0 or not low.isdecimal() or (high and not high.isdecimal()):
            raise _wrong("a { begins no repetition such as {2,4}; write \\{ for the brace itself")
        self._at = end + 1
        first, last = int(low), int(high) if high else None if comma else int(low)
        if max(first, last or 0) > MAX_REPEAT or (last is not None and last < first):
            raise _wrong(f"a repetition is from fewer to more, {MAX_REPEAT} at most")
        return first, last

    def _atom(self) -> _Code:
        letter = self._take()
        if letter == "(":
            return self._group()
        if letter == "[":
            return [_Char(self._bracket())]
        if letter == ".":
            return [_Char(lambda c: True)]
        if letter in "^$":
            return [_At(letter == "$")]
        if letter in "*+?{":
            raise _wrong(f"there is nothing before {letter} to repeat; write \\{letter} for the character itself")
        if letter == "\\":
            return [_Char(self._escape())]
        return [_Char(_literal(letter))]

    def _group(self) -> _Code:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _wrong(f"more than {MAX_DEPTH} parentheses within one another")
        code = self._branches()
        if self._take() != ")":
            raise _wrong("a parenthesis is never closed")
        self._depth -= 1
        return code

    def _escape(self) -> Test:
        letter = self._take()
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if not letter or letter.isalnum():
            raise _wrong(f"\\{letter} means nothing in POSIX expressions")
        return _literal(letter)

    def _bracket(self) -> Test:
        """`[...]`: a backslash stands for itself, as does ] where it comes first."""
        negated = self._peek() == "^"
        if negated:
            self._take()
        tests: list[Test] = []
        first = True
        while first or self._peek() != "]":
            tests.append(_without_case(self._member()))
            first = False
        self._take()
        return lambda c: any(test(c) for test in tests) is not negated

    def _member(self) -> Test:
        letter = self._take()
        if not letter:
            raise _wrong("a bracket is never closed")
        if letter == "[" and self._peek() == ":":
            name, closed, _ = self._text[self._at + 1 :].partition(":]")
            if not closed or name not in _CLASSES:
                raise _wrong(f"unknown class {name[:20]!r}")
            self._at += len(name) + 3
            return _CLASSES[name]
        if letter == "[" and self._peek() in ("=", "."):
            raise _wrong("equivalence classes and collating symbols are for languages; name the characters")
        following = self._text[self._at + 1 : self._at + 2]
        if self._peek() == "-" and following not in ("]", ""):
            self._take()
            last = self._take()
            if last == "-" or last < letter:
                raise _wrong(f"{letter}-{last} in brackets is no range")
            return lambda c: letter <= c <= last
        return lambda c: c == letter


def _repeated(atom: _Code, low: int, high: int | None) -> _Code:
    if len(atom) * max(low, high or 0, 1) > 2 * MAX_INSTRUCTIONS:
        raise _too_long()
    code = atom * low
    if high is None:
        code += [_Split(1, len(atom) + 2), *atom, _Split(-len(atom) - 1, -len(atom) - 1)]
        return code
    for _ in range(high - low):
        code += [_Split(1, len(atom) + 1), *atom]
    return code


def _literal(letter: str) -> Test:
    forms = frozenset(_forms(letter))
    return lambda c: not forms.isdisjoint(_forms(c))


def _without_case(test: Test) -> Test:
    return lambda c: any(test(form) for form in _forms(c))


def _forms(letter: str) -> Iterator[str]:
    yield letter
    for other in (letter.lower(), letter.upper()):
        if other != letter and len(other) == 1:
            yield other


def _bounded(code: _Code) -> None:
    if len(code) > MAX_INSTRUCTIONS:
        raise _too_long()


def _too_long() -> ValueError:
    return _wrong(f"it takes more than {MAX_INSTRUCTIONS} steps when its repetitions are written out")


def _wrong(why: str) -> ValueError:
    return ValueError(f"not a regular expression: {why}")
