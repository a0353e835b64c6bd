"""Log lines: who reads what, and what nobody ever reads."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path as FilePath

import pytest
import structlog

from ikectl.daemon.log import EventLog, Levels, line_of, safe, setup
from ikectl.errors import BackendError
from ikectl.sa.events import Dropped, Note
from ikectl.values.path import Endpoint, Path
from ikectl.values.secret import Secret
from tests.sim.site import Site

KEY = bytes(range(32))
PATH = Path(Endpoint.parse("192.0.2.1", 500), Endpoint.parse("192.0.2.2", 500))


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is logged; everything is as before afterwards."""
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers, root.level
    setup(stream)
    try:
        yield stream
    finally:
        structlog.reset_defaults()
        root.handlers, level = before
        root.setLevel(level)


def test_levels_by_group() -> None:
    levels = Levels.parse("0, net=2,ike=1")
    assert levels.shows(Dropped(None, PATH, "noise"))  # net, 2
    assert levels.shows(Note(None, "story"))  # ike, 1
    assert not Levels.parse("net=1").shows(Dropped(None, PATH, "noise"))
    assert not Levels.parse("-1").shows(Note(None, "story"))
    assert Levels.parse("") == Levels()


@pytest.mark.parametrize(
    ("text", "why"), [("high", "the form is"), ("5", "levels go from"), ("nett=1", "no log group"), ("ike=x", "form")]
)
def test_levels_that_are_none(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Levels.parse(text)


def test_events_carry_the_name_of_their_sa(stream: io.StringIO) -> None:
    site = Site()
    site.up()
    tell = EventLog(Levels.parse("1"))
    for event in site.moon.events:
        tell(event)
    lines = stream.getvalue().splitlines()
    assert any("[ike] site[1] IKE SA established between 192.0.2.1[moon.example.org]" in line for line in lines)
    assert any("[chd] site[1] child net{1} established" in line for line in lines)
    assert line_of(Note(None, "alone")) == "alone"


def test_no_secret_reaches_the_log_by_any_way(stream: io.StringIO) -> None:
    """Secrets and octets as values, in containers, in exceptions; and all events of a whole life."""
    log = structlog.get_logger("test")
    secret = Secret(KEY)
    log.info("values", psk=secret, key=KEY, both=[secret, KEY], deep={"keys": (secret, {"k": bytearray(KEY)})})
    log.info(f"formatted {secret} {secret!r}", message=safe(KEY))
    try:
        key = KEY  # a local value of the frame that a traceback shows
        raise BackendError(f"refused after {len(key)} octets")
    except BackendError:
        log.exception("failed", key=KEY)
    logging.getLogger("asyncio").error("library %s", secret)

    site = Site()
    site.up()
    site.moon.rekey(site.world.now, "site", "net")
    site.world.run(site.world.now + 5)
    tell = EventLog(Levels.parse("4"))
    for host in (site.moon, site.sun):
        for event in host.events:
            tell(event)
            assert repr(event)
    text = stream.getvalue()
    assert "<32 secret octets>" in text
    assert "<32 octets>" in text
    secrets = [KEY, site.moon.secret]
    for host in (site.moon, site.sun):
        for machine in host.machines:
            keys = machine.sa.keys
            assert keys is not None
            secrets += [keys.sk_d, keys.sk_ei, keys.sk_er, keys.sk_pi, keys.sk_pr]
    for each in filter(None, secrets):  # some are forgotten after use
        assert each.hex() not in text
        assert str(bytes(each))[2:-1] not in text


def test_a_traceback_is_lines_of_places(stream: io.StringIO) -> None:
    try:
        raise BackendError("the kernel is away")
    except BackendError:
        structlog.get_logger("test").exception("an answer failed")
    text = stream.getvalue()
    assert "error: [dmn] an answer failed" in text
    assert "in test_a_traceback_is_lines_of_places" in text
    assert "BackendError: the kernel is away" in text


def test_nobody_forges_lines(stream: io.StringIO) -> None:
    structlog.get_logger("test").info("peer says", text="hello\n2026 [ike] established\x1b[31m")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_the_journal_gets_priorities_and_makes_its_own_times(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    before = root.handlers, root.level
    with (tmp_path / "journal").open("w+") as journal:
        about = (tmp_path / "journal").stat()
        monkeypatch.setenv("JOURNAL_STREAM", f"{about.st_dev}:{about.st_ino}")
        try:
            setup(journal)
            structlog.get_logger("test").warning("no way", group="net")
            structlog.get_logger("test").info("ready")
            journal.seek(0)
            assert journal.read().splitlines() == ["<4>[net] no way", "<6>[dmn] ready"]
        finally:
            structlog.reset_defaults()
            root.handlers, level = before
            root.setLevel(level)


def test_pyroute2_says_nothing(stream: io.StringIO) -> None:
    logging.getLogger("pyroute2.netlink").critical("message %s", KEY.hex())
    assert stream.getvalue() == ""
