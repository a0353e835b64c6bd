"""Words to systemd, heard at the other end."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ikectl.daemon.notify import notify, watchdog_period


def test_nothing_happens_without_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")


@pytest.mark.parametrize("abstract", [False, True])
def test_states_are_one_datagram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"@ikectl-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name[1:] if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify("READY=1", "STATUS=2 connections loaded")
        assert systemd.recv(100) == b"READY=1\nSTATUS=2 connections loaded"


def test_a_socket_that_is_gone_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")


@pytest.mark.parametrize(
    ("micros", "pid", "period"),
    [
        ("60000000", "", 30.0),
        ("60000000", str(os.getpid()), 30.0),
        ("60000000", "1", None),
        ("", "", None),
        ("0", "", None),
        ("x", "", None),
    ],
)
def test_the_watchdog(monkeypatch: pytest.MonkeyPatch, micros: str, pid: str, period: float | None) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", micros)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert watchdog_period() == period
