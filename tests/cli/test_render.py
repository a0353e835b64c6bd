"""Words for numbers, JSON of messages, and nothing that steers a terminal."""

from __future__ import annotations

import pytest
from rich.text import Text

from ikectl.cli.names import Meant, Names, list_all, resolve, together
from ikectl.cli.render import ago, ahead, count, plain, safe, size
from tests.cli.conftest import Run
from tests.vici.serving import Served


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1024 * 99, "99.0 KiB"),
        (1024 * 512, "512 KiB"),
        (1024 * 1000, "1.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (7 << 50, "7168 TiB"),
    ],
)
def test_sizes(octets: int, words: str) -> None:
    assert size(octets) == words


def test_times_and_counts() -> None:
    assert ago(b"60") == "1m ago"
    assert ago(None) == "never"
    assert (ahead(b"0"), ahead(b"61"), ahead(None)) == ("now", "in 1m 1s", "never")
    assert (count(1, "packet"), count(12345, "packet")) == ("1 packet", "12,345 packets")


def test_json_of_a_message() -> None:
    tree = {"uniqueid": b"7", "initiator": b"yes", "name": b"12", "list": [b"1"], "in": {"bytes-in": b"3"}}
    assert plain(tree) == {"uniqueid": 7, "initiator": True, "name": "12", "list": ["1"], "in": {"bytes-in": 3}}


def test_what_could_steer_a_terminal_is_taken_out() -> None:
    line = safe(Text.assemble(("peer \x1b[31m", "bold"), "says\nno\x9b"))
    assert line.plain == "peer \ufffd[31msays\nno\ufffd"
    assert safe("plain").plain == "plain"


def test_a_hostile_name_does_not_reach_the_terminal(run: Run, served: Served) -> None:
    ran = run("up", "\x1b]0;owned\x07")
    assert ran.code == 4
    assert "\x1b" not in ran.err and "\x07" not in ran.err


def test_names_may_hold_slashes() -> None:
    known = [Names("a/b", ("c",)), Names("a", ("b/c", "d"))]
    assert resolve("a/b", known) == Meant("a/b")
    assert resolve("a/d", known) == Meant("a", "d")
    assert resolve("b/c", known) == Meant("a", "b/c")
    assert str(Meant("a", "d")) == "a/d"


def test_every_name_that_is_offered_means_something() -> None:
    known = together([Names("a", ("x", "y"))], [Names("b", ("y",)), Names("a", ("z",))])
    assert list_all(known) == ["a", "b", "x", "z", "a/y", "b/y"]
    for name in list_all(known):
        resolve(name, known)
