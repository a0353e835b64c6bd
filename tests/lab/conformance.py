"""pytest plugin: which lines of tests/conformance.toml the run's tests show.

A test names its lines: `@pytest.mark.conformance("v2-29", "v2-31")`. A line is
shown when a test with its number passed and none failed.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TABLE = Path(__file__).resolve().parents[1] / "conformance.toml"


@dataclass(slots=True)
class Line:
    """One line of the table and the outcomes of its tests so far."""

    number: str
    role: str
    words: str
    rfc: str
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def shown(self) -> bool:
        return bool(self.outcomes["passed"]) and not self.outcomes["failed"]

    def verdict(self) -> str:
        tests = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        if self.shown:
            return f"shown ({tests})"
        return f"NOT SHOWN ({tests})" if tests else "not shown"


def read_table() -> dict[str, list[Line]]:
    """Section letter and title -> its lines, in the table's order."""
    sections = tomllib.loads(TABLE.read_text())
    return {
        f"{letter} {lines.pop('title')}": [Line(number, *line) for number, line in lines.items()]
        for letter, lines in sections.items()
    }


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--conformance", action="store_true", help="print which lines of the table are shown")
    group.addoption("--complete", metavar="A,B", default="", help="fail unless every line of these sections is shown")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "conformance(*numbers): shows these lines of tests/conformance.toml")
    config.pluginmanager.register(Conformance(config), "conformance")


class Conformance:
    """Gathers outcomes by line, and prints the table at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._table = read_table()
        self._lines = {line.number: line for lines in self._table.values() for line in lines}
        self._print: bool = config.getoption("--conformance") or bool(config.getoption("--complete"))
        self._complete = [letter for letter in config.getoption("--complete").split(",") if letter]
        unknown = set(self._complete) - {title[0] for title in self._table}
        if unknown:
            raise pytest.UsageError(f"--complete: the conformance table has no section {', '.join(sorted(unknown))}")
        self._marked: dict[str, list[Line]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            numbers = {number for mark in item.iter_markers("conformance") for number in mark.args}
            if unknown := sorted(numbers - self._lines.keys()):
                raise pytest.UsageError(f"{item.nodeid}: not in tests/conformance.toml: {', '.join(unknown)}")
            if numbers:
                self._marked[item.nodeid] = [self._lines[number] for number in sorted(numbers)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            for line in self._marked.get(report.nodeid, ()):
                line.outcomes[report.outcome] += 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._missing() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._print:
            return
        terminalreporter.section("conformance")
        for title, lines in self._table.items():
            shown = sum(line.shown for line in lines)
            terminalreporter.write_line(f"\n{title}: {shown} of {len(lines)} shown")
            for line in lines:
                terminalreporter.write_line(
                    f"  {line.number:7}{line.role}  {line.verdict():24}  {line.words} ({line.rfc})"
                )
        if missing := self._missing():
            terminalreporter.write_line(f"\nto be complete, {len(missing)} more must be shown: {' '.join(missing)}")

    def _missing(self) -> list[str]:
        """Numbers of lines that --complete wants shown and that are not."""
        return [
            line.number
            for title, lines in self._table.items()
            if title[0] in self._complete
            for line in lines
            if not line.shown
        ]
