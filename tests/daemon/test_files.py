"""Files as configuration reads them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ikectl.daemon.files import FILES, MAX_OCTETS


def test_reading(tmp_path: Path) -> None:
    (tmp_path / "swanctl.conf").write_bytes(b"connections {}\n")
    assert FILES.read(str(tmp_path / "swanctl.conf")) == b"connections {}\n"


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "missing", Path("/dev/zero")):
        with pytest.raises(OSError):
            FILES.read(str(path))


def test_files_without_end_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_OCTETS + 1)
    with pytest.raises(OSError, match="larger than"):
        FILES.read(str(tmp_path / "large"))


def test_patterns_match_files_in_order(tmp_path: Path) -> None:
    for name in ("b.conf", "a.conf", "c.txt"):
        (tmp_path / name).touch()
    (tmp_path / "d.conf").mkdir()
    assert FILES.glob(str(tmp_path / "*.conf")) == [str(tmp_path / "a.conf"), str(tmp_path / "b.conf")]
