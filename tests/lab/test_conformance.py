"""The table is whole, and a run tells which of its lines it showed."""

import subprocess
import sys
from pathlib import Path

from tests.lab.conformance import read_table
from tests.lab.guest import ROOT

TESTS = """
import pytest

@pytest.mark.conformance("v2-43", "v1-7")
def test_cookie(): pass

@pytest.mark.conformance("v2-44")
def test_repeat(): assert False
"""


def run(directory: Path, source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest with the conformance plugin alone."""
    file = directory / "test_nested.py"
    file.write_text(source)
    command = [sys.executable, "-m", "pytest", "-p", "tests.lab.conformance", "-p", "no:cacheprovider"]
    command += ["-q", f"--rootdir={directory}", "-c", "/dev/null", str(file), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_every_line_is_in_the_table() -> None:
    table = read_table()
    assert [title[0] for title in table] == list("ABCDEFGHI")
    numbers = [line.number for lines in table.values() for line in lines]
    assert numbers == [f"v2-{n}" for n in range(1, 115)] + [f"v1-{n}" for n in range(1, 41)]
    assert all(line.role in "IRB" and line.words and line.rfc for lines in table.values() for line in lines)


def test_shown_and_not_shown(tmp_path: Path) -> None:
    output = run(tmp_path, TESTS, "--conformance").stdout
    rows = {line.split()[0]: line for line in output.splitlines() if line.startswith("  v")}
    assert "shown (1 passed)" in rows["v2-43"]
    assert "shown (1 passed)" in rows["v1-7"]
    assert "NOT SHOWN (1 failed)" in rows["v2-44"]
    assert "not shown" in rows["v2-45"]
    assert "1 of 10 shown" in output


def test_a_section_that_must_be_complete(tmp_path: Path) -> None:
    done = run(tmp_path, TESTS.replace("assert False", "pass"), "--complete", "C")
    assert done.returncode == 1
    assert "to be complete, 8 more must be shown: v2-45" in done.stdout

    numbers = [line.number for title, lines in read_table().items() if title[0] == "D" for line in lines]
    whole = f"import pytest\n@pytest.mark.conformance(*{numbers})\ndef test_all(): pass\n"
    assert run(tmp_path, whole, "--complete", "D").returncode == 0


def test_a_number_that_is_not_in_the_table(tmp_path: Path) -> None:
    done = run(tmp_path, TESTS.replace("v1-7", "v2-999"))
    assert done.returncode != 0
    assert "not in tests/conformance.toml: v2-999" in done.stdout + done.stderr
