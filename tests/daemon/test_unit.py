"""systemd/ikectld.service says what the daemon needs, and no more."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path

import pytest

from ikectl.daemon.main import VICI, run

UNIT = Path(__file__).parents[2] / "systemd" / "ikectld.service"
NEEDED = {"CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"}


@pytest.fixture
def service() -> dict[str, str]:
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return dict(parser["Service"])


def test_two_capabilities_and_no_root(service: dict[str, str]) -> None:
    assert set(service["AmbientCapabilities"].split()) == NEEDED
    assert set(service["CapabilityBoundingSet"].split()) == NEEDED
    assert service["User"] == "ikectl"
    assert service["NoNewPrivileges"] == "yes"


def test_readiness_reload_and_watchdog(service: dict[str, str]) -> None:
    assert service["Type"] == "notify"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert int(service["WatchdogSec"]) > 0


def test_the_control_socket_is_where_clients_look(service: dict[str, str]) -> None:
    assert f"/run/{service['RuntimeDirectory']}/ikectl.vici" == VICI


def test_the_command_line_is_one_we_understand(service: dict[str, str]) -> None:
    program, *arguments = service["ExecStart"].split()
    assert program.endswith("/bin/ikectld")
    assert not arguments
    assert run.__doc__


def test_netlink_and_control_sockets_are_allowed(service: dict[str, str]) -> None:
    assert set(service["RestrictAddressFamilies"].split()) == {"AF_INET", "AF_INET6", "AF_NETLINK", "AF_UNIX"}
