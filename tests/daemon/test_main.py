"""The command line of ikectld, as far as it gets without a kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ikectl.daemon.main import app, our_version

MISTAKES = """\
connections {
    site {
        version = 2
        dpd_dely = 30s
        local { auth = psk }
        remote { auth = pskk }
        children { net { esp_proposals = aes999 } }
    }
}
"""


@pytest.fixture
def invoke() -> CliRunner:
    return CliRunner()


def test_version(invoke: CliRunner) -> None:
    result = invoke.invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"ikectld {our_version()}\n")


def test_all_mistakes_are_shown_at_once_and_nothing_starts(invoke: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "swanctl.conf").write_text(MISTAKES)
    result = invoke.invoke(app, ["--config", str(tmp_path)])
    assert result.exit_code == 1
    for place, word in ((4, "dpd_delay"), (6, "pskk"), (7, "aes999")):
        assert any(f"swanctl.conf:{place}: " in line and word in line for line in result.output.splitlines())
    assert "nothing was loaded" in result.output


def test_a_file_that_is_not_there(invoke: CliRunner, tmp_path: Path) -> None:
    result = invoke.invoke(app, ["--config", str(tmp_path / "missing.conf")])
    assert result.exit_code == 1
    assert "missing.conf" in result.output


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--log-level", "loud"], "the form is"),
        (["--vici-group", "nosuchgroup"], "groupadd"),
        (["--farewell", "-1"], "farewell"),
        (["--no-such-option"], "No such option"),
    ],
)
def test_arguments_that_are_none(invoke: CliRunner, arguments: list[str], why: str) -> None:
    result = invoke.invoke(app, arguments)
    assert result.exit_code == 2
    assert why in result.output
