"""sd_notify(3): tells systemd that we are ready, reload, stop, live. Without systemd nothing happens."""

from __future__ import annotations

import os
import socket

import structlog

log = structlog.get_logger(__name__)


def notify(*states: str) -> None:
    """Send assignments such as `READY=1`."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.sendto("\n".join(states).encode(), address)
    except OSError as error:
        log.warning("systemd was not told", states=states, why=str(error))


def watchdog_period() -> float | None:
    """Seconds between signs of life; half of what systemd allows. None if it wants none."""
    pid, micros = os.environ.get("WATCHDOG_PID", ""), os.environ.get("WATCHDOG_USEC", "")
    if not micros.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return int(micros) / 2_000_000 or None
