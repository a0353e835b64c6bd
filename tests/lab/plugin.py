"""pytest plugin: lab tests run in a guest, and report as if they had run here.

Outside, pytest collects everything. Tests that need the lab go to the end of
the run, sorted into groups by their directory below tests/. One guest boots
for each group as soon as the run starts (as many at a time as there are cores)
and runs pytest on the group's node ids, beside the ordinary tests outside.
Every report made inside is appended to a file as one line of JSON; outside it
is read back and handed to pytest's own machinery. So selection, -x, the
closing summary, exit status and other plugins work as always.

A test is a lab test when it lives in one of LAB_DIRECTORIES, uses one of
LAB_FIXTURES, or is marked `lab`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from tests.lab.guest import Guest, GuestFailed

LAB_DIRECTORIES = ("kernel", "interop", "examples")
LAB_FIXTURES = {"lab", "module_lab", "netns"}
TESTS = Path(__file__).resolve().parents[1]

SILENT_FOR = 300.0
"""Seconds without a report after which a guest counts as hanging; the slowest single test takes a tenth."""

POLL_EVERY = 0.05
"""Seconds between looks at a guest's report file."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lab")
    group.addoption("--lab-reports", metavar="FILE", help="(set inside a guest) append reports to FILE as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "lab: runs inside the embedded kernel (see tests/lab)")
    reports = config.getoption("--lab-reports")
    if reports:
        config.pluginmanager.register(Inside(config, Path(reports)), "lab-inside")
    elif not config.getoption("--collect-only"):
        config.pluginmanager.register(Outside(config), "lab-outside")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark lab tests, and bring them behind the others, group by group."""
    for item in items:
        if _directories(item)[0] in LAB_DIRECTORIES or LAB_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.lab)
    order = {name: place for place, name in enumerate(dict.fromkeys(_group(i) for i in items if _is_lab(i)), 1)}
    items.sort(key=lambda item: order[_group(item)] if _is_lab(item) else 0)


def _is_lab(item: pytest.Item) -> bool:
    return item.get_closest_marker("lab") is not None


def _directories(item: pytest.Item) -> tuple[str, ...]:
    """The directories from tests/ down to a test's file."""
    try:
        return item.path.relative_to(TESTS).parts[:-1] or ("other",)
    except ValueError:
        return ("other",)


def _group(item: pytest.Item) -> str:
    """The name of the guest that a test runs in: its directory below tests/."""
    return "-".join(_directories(item))


class Inside:
    """In the guest: every report becomes a line of JSON in the report file."""

    def __init__(self, config: pytest.Config, path: Path) -> None:
        self._config = config
        self._file = path.open("a", buffering=1)

    def _write(self, kind: str, **content: object) -> None:
        self._file.write(json.dumps({"kind": kind, **content}, default=str) + "\n")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write("start", nodeid=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._write("report", nodeid=report.nodeid, report=data)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._write("finish", nodeid=nodeid)


class Outside:
    """On the host: boots the guests, and answers for each lab test with what its guest reported."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._waiting: list[Group] = []
        self._groups: dict[str, Group] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Selection is final now: one group for each directory with a test in it."""
        if session.testsfailed and not self._config.option.continue_on_collection_errors:
            return
        for item in filter(_is_lab, session.items):
            name = _group(item)
            if name not in self._groups:
                self._groups[name] = Group(name, core=len(self._groups))
            self._groups[name].nodeids.append(item.nodeid)
        self._waiting = list(self._groups.values())
        self._advance()

    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Run a lab test: wait for its guest, and pass its reports on."""
        if not _is_lab(item):
            return None
        group = self._groups[_group(item)]
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for data in self._reports(group, item):
            report = (
                data
                if isinstance(data, pytest.TestReport)
                else self._config.hook.pytest_report_from_serializable(config=self._config, data=data)
            )
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_runtest_logfinish(self) -> None:
        """An ordinary test ended: a good moment to look whether a core became free."""
        self._advance()

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """No guest outlives the run; what they printed stays when something failed."""
        for group in self._groups.values():
            group.guest.stop()
            if exitstatus == pytest.ExitCode.OK:
                group.guest.forget()

    def _advance(self) -> None:
        """Boot waiting groups while cores are free."""
        cores = len(os.sched_getaffinity(0))
        while self._waiting and sum(group.alive() for group in self._groups.values()) < cores:
            self._waiting.pop(0).start(self._config)

    def _reports(self, group: Group, item: pytest.Item) -> Iterator[dict[str, object] | pytest.TestReport]:
        try:
            while group in self._waiting:
                self._advance()
                time.sleep(POLL_EVERY)
            yield from group.reports(item.nodeid)
        except GuestFailed as error:
            yield pytest.TestReport(
                nodeid=item.nodeid,
                location=item.location,
                keywords={},
                outcome="failed",
                longrepr=f"{error}",
                when="call",
                sections=[],
                duration=0.0,
                start=0.0,
                stop=0.0,
            )


class Group:
    """The lab tests of one directory, their guest, and what it reported so far."""

    def __init__(self, name: str, core: int) -> None:
        self.name = name
        self.nodeids: list[str] = []
        self.guest = Guest(name, [], core=core)
        self._reports: dict[str, list[dict[str, object]]] = {}
        self._finished: set[str] = set()
        self._file: TextIO | None = None
        self._unread = ""
        self._failure: str | None = None
        self._told = False

    def start(self, config: pytest.Config) -> None:
        """Boot the guest on this group's tests."""
        arguments = self.guest.directory / "arguments"
        reports = self.guest.directory / "reports.jsonl"
        words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no"]
        words += [f"--rootdir={config.rootpath}", f"--lab-reports={reports}", f"@{arguments}"]
        self.guest.command = words
        self.guest.environment["HYPOTHESIS_STORAGE_DIRECTORY"] = "/run/tmp/hypothesis"
        try:
            self.guest.prepare()
            arguments.write_text("".join(f"{config.rootpath}/{nodeid}\n" for nodeid in self.nodeids))
            reports.touch()
            self.guest.start()
            self._file = reports.open()
        except GuestFailed as error:
            self._failure = str(error)

    def alive(self) -> bool:
        """Whether the guest runs; one that did not boot is remembered as failed."""
        try:
            return self.guest.running()
        except GuestFailed as error:
            self._failure = str(error)
            return False

    def reports(self, nodeid: str) -> list[dict[str, object]]:
        """All reports of one test, as soon as it finished inside.

        Raises:
            GuestFailed: the guest went away, hangs, or ended without running the test.
        """
        heard_at = time.monotonic()
        while nodeid not in self._finished:
            alive = self.alive()
            if self._read():
                heard_at = time.monotonic()
            elif not alive:
                reason = self._failure or "the guest ended without finishing this test"
                raise GuestFailed(f"{reason}\n{self._console()}")
            elif time.monotonic() - heard_at > SILENT_FOR:
                self._failure = f"the guest said nothing for {SILENT_FOR:.0f} s and was stopped"
                self.guest.stop()
            else:
                time.sleep(POLL_EVERY)
        return self._reports.pop(nodeid, [])

    def _console(self) -> str:
        """The end of the guest's console, the first time; later tests fail for the same reason."""
        if self._told:
            return f"(see the group's first failure, or {self.guest.console})"
        self._told = True
        return self.guest.console_tail()

    def _read(self) -> bool:
        """Take in what the guest appended to its report file; whether there was anything."""
        if self._file is None:
            return False
        self._unread += self._file.read()
        *lines, self._unread = self._unread.split("\n")
        for line in lines:
            record = json.loads(line)
            if record["kind"] == "report":
                self._reports.setdefault(record["nodeid"], []).append(record["report"])
            elif record["kind"] == "finish":
                self._finished.add(record["nodeid"])
        return bool(lines)
