"""systemd/ikectld.service says what the daemon needs, and no more."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path

import pytest

from ikectl.daemon.main import VICI, run
from ikectl.daemon.resolved import commands
from ikectl.daemon.vici_socket import MODE
from ikectl.sa.asks import InstallDns

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


def test_resolvers_read_what_gateways_gave(service: dict[str, str]) -> None:
    """The file is for everybody (`NameServers`), and so is the way to it; the socket has a mode of its own."""
    assert int(service["RuntimeDirectoryMode"], 8) & 0o055 == 0o055
    assert MODE & 0o007 == 0


def test_what_a_killed_daemon_left_is_there_at_the_next_start(service: dict[str, str]) -> None:
    """`NameServers.start` looks for its file, beside the control socket, to know of a record in resolvconf."""
    assert service["RuntimeDirectoryPreserve"] == "yes"


def test_polkit_allows_what_resolved_is_told(service: dict[str, str]) -> None:
    """Each word of resolvectl is an action of its own; the user is no root."""
    rules = (UNIT.parent / "ikectl.rules").read_text()
    actions = {
        "dns": "set-dns-servers",
        "domain": "set-domains",
        "default-route": "set-default-route",
        "dnsovertls": "set-dns-over-tls",
    }
    told = {words[0] for words in commands("ikedns0", InstallDns("a", (), sources=(bytes(4),)))}
    assert told == set(actions) and all(f'"{action}"' in rules for action in actions.values())
    assert f'subject.user == "{service["User"]}"' in rules


def test_the_command_line_is_one_we_understand(service: dict[str, str]) -> None:
    program, *arguments = service["ExecStart"].split()
    assert program.endswith("/bin/ikectld")
    assert not arguments
    assert run.__doc__


def test_netlink_and_control_sockets_are_allowed(service: dict[str, str]) -> None:
    assert set(service["RestrictAddressFamilies"].split()) == {"AF_INET", "AF_INET6", "AF_NETLINK", "AF_UNIX"}
