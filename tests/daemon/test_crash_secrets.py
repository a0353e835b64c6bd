"""Crash secrets in a file (RFC 6290 §5.1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ikectl.daemon.crash_secrets import NAME, renew
from ikectl.errors import BackendError
from ikectl.sa.crash_tokens import KEPT, SECRET_OCTETS


def test_each_start_has_a_secret_and_knows_those_before(tmp_path: Path) -> None:
    starts = [renew(tmp_path) for _ in range(KEPT + 3)]
    assert len({each.current for each in starts}) == len(starts)
    assert starts[0].earlier == () and starts[1].earlier == (starts[0].current,)
    assert starts[-1].earlier == tuple(each.current for each in starts[-2 : -2 - KEPT : -1])
    path = tmp_path / NAME
    assert path.stat().st_mode & 0o077 == 0 and len(path.read_bytes()) == SECRET_OCTETS * (KEPT + 1)
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"damaged")
    assert renew(tmp_path).earlier == ()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="cannot write"):
        renew(tmp_path / "missing")
    (tmp_path / NAME).mkdir()
    with pytest.raises(BackendError, match="cannot read"):
        renew(tmp_path)
