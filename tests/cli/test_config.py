"""`ikectl load`: files into the daemon, and what the files no longer hold out of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.vici.credentials import made
from tests.vici.serving import Served

CONFIGURATION = """
connections {
    home {
        remote_addrs = 198.51.100.2
        local {
            auth = pubkey
            certs = gw-a.pem
        }
        remote {
            auth = psk
            id = gw-b.example.org
        }
        children {
            net {
                remote_ts = 10.2.0.0/16
            }
        }
    }
}
secrets {
    ike-b {
        id = gw-b.example.org
        secret = sesame
    }
}
authorities {
    root {
        cacert = root.pem
    }
}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "swanctl"
    for folder, name, octets in (
        ("x509", "gw-a.pem", made().certificate),
        ("x509ca", "root.pem", made().ca),
        ("private", "gw-a.key", made().key),
    ):
        (directory / folder).mkdir(parents=True)
        (directory / folder / name).write_bytes(octets)
    (directory / "swanctl.conf").write_text(CONFIGURATION)
    return directory


def test_load_replaces_what_the_daemon_had(run: Run, served: Served, directory: Path) -> None:
    ran = run("load", str(directory))
    assert ran.code == 0, ran.err
    assert ran.out == (
        "loaded   connection home\n"
        "unloaded connection office\n"
        "unloaded connection branch\n"
        "1 connection, 1 authority, 1 secret, 1 key, 2 certificates loaded, 2 unloaded.\n"
    )
    memory = served.memory
    assert list(memory.loaded) == ["home"]
    assert list(memory.credentials.loaded_keys) == [made().key_id]
    assert bytes(memory.credentials.loaded_secrets["ike-b"].data) == b"sesame"
    assert list(memory.credentials.loaded_authorities) == ["root"]


def test_load_again_changes_nothing_and_then_only_what_changed(run: Run, served: Served, directory: Path) -> None:
    run("load", str(directory))
    again = run("load", str(directory / "swanctl.conf"), "--json")
    assert json.loads(again.out) == {
        "loaded": {
            "connection": ["home"],
            "pool": [],
            "authority": ["root"],
            "secret": ["ike-b"],
            "key": [made().key_id],
            "certificate": ["", ""],
        },
        "unloaded": {
            "connection": [],
            "pool": [],
            "authority": [],
            "secret": [],
            "key": [],
            "certificate": [],
        },
        "refused": [],
        "warnings": [],
    }
    (directory / "swanctl.conf").write_text("connections {\n}\n")
    (directory / "private" / "gw-a.key").unlink()
    ran = run("load", str(directory))
    assert ran.code == 0, ran.err
    memory = served.memory
    assert not memory.loaded
    assert not memory.credentials.loaded_keys
    assert not memory.credentials.loaded_secrets
    assert not memory.credentials.loaded_authorities


def test_all_mistakes_are_told_at_once_and_nothing_is_loaded(run: Run, served: Served, directory: Path) -> None:
    text = CONFIGURATION.replace("remote_addrs = 198.51.100.2", "dpd_dealy = 30s").replace("10.2.0.0/16", "10.2.0.0/99")
    (directory / "swanctl.conf").write_text(text)
    ran = run("load", str(directory))
    assert ran.code == 5
    assert "2 mistakes, nothing was loaded" in ran.err
    assert f"{directory}/swanctl.conf:4: " in ran.err
    assert "dpd_dealy" in ran.err and "dpd_delay" in ran.err
    assert f"{directory}/swanctl.conf:15: " in ran.err
    assert list(served.memory.loaded) == ["office", "branch"]


def test_mistakes_need_no_daemon_to_be_found(run: Run, directory: Path, tmp_path: Path) -> None:
    (directory / "swanctl.conf").write_text("connections { x { colour = blue } }")
    assert run("load", str(directory), socket=str(tmp_path / "none")).code == 5


def test_what_the_daemon_refuses_is_told_and_the_rest_is_loaded(run: Run, served: Served, directory: Path) -> None:
    served.memory.unwanted = "home"
    ran = run("load", str(directory))
    assert ran.code == 1
    assert "1 refusal by the daemon:\nconnection home: there is no room for home" in ran.err
    assert list(served.memory.credentials.loaded_secrets) == ["ike-b"]


def test_what_should_be_known_of_a_connection_is_told_at_loading(run: Run, served: Served, tmp_path: Path) -> None:
    (tmp_path / "swanctl.toml").write_text(
        '[connections.home]\nremote_addrs = ["198.51.100.2"]\n'
        '[connections.home.local]\nauth = "psk"\n[connections.home.remote]\nauth = "psk"\n'
    )
    ran = run("load", str(tmp_path))
    assert ran.code == 0, ran.err
    assert "warning  connection home calls a peer whose identity may be %any" in ran.out
    assert "set remote.id to the peer's identity" in ran.out
    again = json.loads(run("load", str(tmp_path), "--json").out)
    assert again["loaded"]["connection"] == ["home"]
    (warning,) = again["warnings"]
    assert warning.startswith("connection home calls a peer")


@pytest.mark.parametrize(("secret", "told"), [("squeamish", True), ("0x" + "5a" * 31, True), ("0x" + "5a" * 32, False)])
def test_a_post_quantum_key_that_can_be_guessed_is_told_at_loading(
    run: Run, served: Served, tmp_path: Path, secret: str, told: bool
) -> None:
    """RFC 8784 §6 wants 256 bits; of the secret its length is all that is said."""
    (tmp_path / "swanctl.toml").write_text(f'[secrets.ppk-site]\nsecret = "{secret}"\nid = "site"\n')
    ran = run("load", str(tmp_path))
    assert ran.code == 0, ran.err
    assert ("warning  post-quantum key ppk-site has" in ran.out) is told
    assert secret not in ran.out + ran.err
    assert list(served.memory.credentials.loaded_secrets) == ["ppk-site"]


def test_pools_come_before_their_users_and_go_after_them(run: Run, served: Served, directory: Path) -> None:
    road = """
    connections { road { version = 1
                         pools = road
                         local { auth = psk }
                         remote-1 { auth = psk }
                         remote-2 { auth = xauth } } }
    pools { road { addrs = 10.9.0.0/24 } }
    secrets { xauth-carol { id = carol
                            secret = squeamish } }
    """
    (directory / "swanctl.conf").write_text(road)
    ran = run("load", str(directory))
    assert ran.code == 0, ran.err
    assert "1 connection, 1 pool, 1 secret, 1 key, 2 certificates loaded, 2 unloaded." in ran.out
    assert [pool.name for pool in served.memory.pools.all()] == ["road"]
    (directory / "swanctl.conf").write_text("connections { }")
    assert run("load", str(directory)).code == 0
    assert not list(served.memory.pools.all())


def test_toml(run: Run, served: Served, tmp_path: Path) -> None:
    (tmp_path / "swanctl.toml").write_text(
        '[connections.home]\nremote_addrs = ["198.51.100.2"]\n'
        '[connections.home.local]\nauth = "psk"\n[connections.home.remote]\nauth = "psk"\n'
    )
    ran = run("load", str(tmp_path))
    assert ran.code == 0, ran.err
    assert list(served.memory.loaded) == ["home"]


def test_nothing_to_load(run: Run, tmp_path: Path) -> None:
    ran = run("load", str(tmp_path / "none"))
    assert ran.code == 5
    assert "there is no" in ran.err
    (tmp_path / "empty").mkdir()
    ran = run("load", str(tmp_path / "empty"))
    assert ran.code == 5
    assert "neither swanctl.conf nor swanctl.toml" in ran.err


def test_a_file_that_is_far_too_long(run: Run, directory: Path) -> None:
    (directory / "private" / "gw-a.key").write_bytes(bytes(5 * 1024 * 1024))
    ran = run("load", str(directory))
    assert ran.code == 5
    assert "gw-a.key" in ran.err
