"""POSIX expressions against Python's, and against those who would make them slow."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.values import expression
from ikectl.values.expression import MAX_INSTRUCTIONS, MAX_TEXT, Expression

LETTERS = "abAB-_ "

atoms = st.sampled_from(["a", "b", "B", ".", "[ab]", "[^a]", "[a-b]", "_", "\\.", "[[:alpha:]]", "[-b]"])
pieces = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,2}", "{1,}"])).map(
            lambda found: f"({found[0]}){found[1]}"
        ),
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda found: f"({'|'.join(found)})"),
    ),
    max_leaves=8,
)


@given(pieces, st.text(LETTERS, max_size=8))
def test_it_means_what_others_mean(text: str, subject: str) -> None:
    """Python reads [[:alpha:]] otherwise; all else is alike."""
    python = re.compile(text.replace("[[:alpha:]]", "[A-Za-z]"), re.IGNORECASE)
    assert Expression(text).matches(subject) is bool(python.fullmatch(subject))


@given(st.text("ab()[]{}*+?|^$\\.:-,0123456789", max_size=30))
def test_any_text_is_an_expression_or_a_value_error(text: str) -> None:
    try:
        Expression(text).matches("ab")
    except ValueError as error:
        assert str(error).startswith("not a regular expression: ")


@pytest.mark.parametrize(
    ("text", "subject", "fits"),
    [
        ("^gw$", "gw", True),
        ("^gw$", "gwx", False),
        ("^(a|b)$|^c$", "c", True),
        ("a^b", "ab", False),
        ("(^a)(b$)", "ab", True),
        ("", "", True),
        ("^$", "", True),
        ("a||b", "", True),
        ("[]x]+", "x]", True),
        ("[^]]", "]", False),
        ("[a\\]", "\\", True),
        ("gw-[0-9]{1,3}\\.example\\.org", "GW-17.Example.ORG", True),
        ("gw-[0-9]{1,3}\\.example\\.org", "gw-1234.example.org", False),
        ("gw-[0-9]{1,3}\\.example\\.org", "gw-1xexample.org", False),
        ("[[:upper:]]", "a", True),
        ("\\w+\\s\\S\\d", "ab_ x1", True),
        ("x{0}y", "y", True),
        ("É", "é", True),
    ],
)
def test_by_example(text: str, subject: str, fits: bool) -> None:
    assert Expression(text).matches(subject) is fits


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(a", "never closed"),
        ("a)", "never opened"),
        ("[a", "never closed"),
        ("*a", "nothing before"),
        ("a|*", "nothing before"),
        ("(?:a)", "nothing before"),
        ("a{", "no repetition"),
        ("a{2,1}", "from fewer to more"),
        ("a{300}", "255 at most"),
        ("[b-a]", "no range"),
        ("[[.a.]]", "name the characters"),
        ("\\b", "means nothing"),
        ("a\\", "means nothing"),
        ("((a{99}){99}){99}", f"more than {MAX_INSTRUCTIONS}"),
        ("(" * 60 + "a" + ")" * 60, "parentheses within"),
    ],
)
def test_what_is_wrong_is_said(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        Expression(text)


@pytest.mark.parametrize(
    "text",
    ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "^(.*a){10}$", "^((a*)*)*$", "^(a?){80}a{80}$", "^(a?b?){50}$"],
)
def test_nobody_can_make_it_slow(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Backtracking would take 2^n steps for what almost fits; here they are counted, and few."""
    steps = 0
    reachable = Expression._reachable

    def counted(self: Expression, places: list[int], first: bool, last: bool) -> frozenset[int]:
        nonlocal steps
        steps += 1
        return reachable(self, places, first, last)

    monkeypatch.setattr(Expression, "_reachable", counted)
    found = Expression(text)
    found.matches("a" * (MAX_TEXT - 1) + "!")
    assert steps <= MAX_TEXT + 1
    assert not found.matches("a" * (MAX_TEXT + 1))


def test_what_is_remembered_is_bounded() -> None:
    found = Expression("^.*[ab].{8}$")
    for number in range(200):
        found.matches(bin(number * 7919 % 512)[2:].translate({48: "a", 49: "c"}) * 8)
    assert len(found._steps) <= expression.MAX_REMEMBERED


def test_equal_text_is_one_expression() -> None:
    assert expression.compiled("^a$") is expression.compiled("^a$")
    assert Expression("^a$") == Expression("^a$") != Expression("^b$")
    assert len({Expression("^a$"), Expression("^a$")}) == 1 and "^a$" in repr(Expression("^a$"))
