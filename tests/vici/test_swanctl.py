"""Debian's swanctl against our server: it loads a directory, drives tunnels and prints what it gets.

The program comes with `tests/lab/setup.sh tests`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ikectl.sa.asks import DescribePools, Lease, Release
from tests.vici.credentials import made
from tests.vici.serving import Served

CONFIGURATION = """
connections {
    office {
        version = 2
        local_addrs = 192.0.2.1
        remote_addrs = 198.51.100.2
        dpd_delay = 30s
        local {
            auth = pubkey
            certs = gw-a.pem
            id = "C=CH, O=Example, CN=gw-a.example.org"
        }
        remote {
            auth = psk
            id = gw-b.example.org
        }
        children {
            net {
                local_ts = 10.1.0.0/16
                remote_ts = 10.2.0.0/16
            }
            refused {
                remote_ts = 10.3.0.0/16
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

Swanctl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def swanctl(served: Served, tmp_path: Path) -> Swanctl:
    path = f"{os.environ['PATH']}:/usr/sbin"
    if shutil.which("swanctl", path=path) is None:
        pytest.fail("swanctl is missing here; get it with: tests/lab/setup.sh tests")
    for folder, name, octets in (
        ("x509", "gw-a.pem", made().certificate),
        ("x509ca", "root.pem", made().ca),
        ("private", "gw-a.key", made().key),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(octets)
    (tmp_path / "swanctl.conf").write_text(CONFIGURATION)
    environment = {**os.environ, "SWANCTL_DIR": str(tmp_path), "PATH": path}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["swanctl", *arguments, "--uri", f"unix://{served.path}"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_load_all(swanctl: Swanctl, served: Served) -> None:
    done = swanctl("--load-all")
    assert done.returncode == 0, done.stdout + done.stderr
    for line in (
        "loaded certificate from",
        "loaded ECDSA key from",
        "loaded ike secret 'ike-b'",
        "loaded authority 'root'",
        "loaded connection 'office'",
    ):
        assert line in done.stdout
    memory = served.memory
    assert list(memory.loaded) == ["office"]
    assert list(memory.credentials.loaded_keys) == [made().key_id]
    assert list(memory.credentials.loaded_secrets) == ["ike-b"]
    assert list(memory.credentials.loaded_authorities) == ["root"]


def test_pools(swanctl: Swanctl, served: Served, tmp_path: Path) -> None:
    road = "pools {\n road {\n addrs = 10.9.0.0/24\n dns = 10.0.0.1, 10.0.0.2\n split_include = 10.1.0.0/16\n }\n}\n"
    users = "secrets {\n xauth-carol {\n id = carol\n secret = squeamish\n }\n}\n"
    (tmp_path / "swanctl.conf").write_text(road + users)
    done = swanctl("--load-all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "loaded xauth secret 'xauth-carol'" in done.stdout
    assert "loaded pool 'road'" in done.stdout
    leased = served.call(served.memory.pools.lease, Lease(("road",), "carol", 4))
    described = served.call(served.memory.pools.describe, DescribePools(("road",)))
    assert [attribute.type for attribute in described.attributes] == [3, 3, 28676]
    listed = swanctl("--list-pools", "--leases").stdout.split()
    assert listed == ["road", "10.9.0.1", "1", "/", "0", "/", "254", "10.9.0.1", "online", "'carol'"]
    (tmp_path / "swanctl.conf").write_text("")
    done = swanctl("--load-pools")
    assert "unloading pool 'road' failed" in done.stdout + done.stderr
    served.call(served.memory.pools.release, Release("road", "carol", leased.address))
    assert swanctl("--load-pools").returncode == 0
    assert not list(served.memory.pools.all())


def test_load_all_again_unloads_what_the_files_no_longer_hold(swanctl: Swanctl, served: Served, tmp_path: Path) -> None:
    assert swanctl("--load-all").returncode == 0
    text = CONFIGURATION.replace("office {", "branch {").replace("ike-b {", "ike-c {").replace("root {", "top {")
    (tmp_path / "swanctl.conf").write_text(text)
    (tmp_path / "private" / "gw-a.key").unlink()
    done = swanctl("--load-all")
    assert done.returncode == 0, done.stdout + done.stderr
    memory = served.memory
    assert list(memory.loaded) == ["branch"]
    assert list(memory.credentials.loaded_keys) == []
    assert list(memory.credentials.loaded_secrets) == ["ike-c"]
    assert list(memory.credentials.loaded_authorities) == ["top"]


def test_a_mistake_is_told_and_the_exit_code_says_so(swanctl: Swanctl, tmp_path: Path) -> None:
    (tmp_path / "swanctl.conf").write_text(CONFIGURATION.replace("dpd_delay = 30s", "dpd_delay = soon"))
    done = swanctl("--load-conns")
    assert done.returncode != 0
    assert "dpd_delay" in done.stdout + done.stderr


def test_a_tunnel_comes_up_is_listed_rekeyed_and_closed(swanctl: Swanctl) -> None:
    assert swanctl("--load-all").returncode == 0

    done = swanctl("--initiate", "--child", "net")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[IKE] IKE SA established between 192.0.2.1" in done.stdout
    assert "initiate completed successfully" in done.stdout

    done = swanctl("--list-sas")
    assert done.returncode == 0
    assert "office: #1, ESTABLISHED, IKEv2, a1a2a3a4a5a6a700_i* b1b2b3b4b5b6b700_r" in done.stdout
    assert "local  'gw-a.example.org' @ 192.0.2.1[4500]" in done.stdout
    assert "AES_GCM_16-256/PRF_HMAC_SHA2_256/CURVE_25519" in done.stdout
    assert "net: #1, reqid 1, INSTALLED, TUNNEL-in-UDP, ESP:AES_CBC-256/HMAC_SHA2_256_128" in done.stdout
    assert "in  c0000001, 1300000 bytes,  9812 packets,     0s ago" in done.stdout
    assert "out c1000001,    840 bytes,    10 packets,    65s ago" in done.stdout
    assert "local  10.1.0.0/16" in done.stdout

    assert swanctl("--rekey", "--child", "net").returncode == 0
    assert swanctl("--rekey", "--ike", "office").returncode == 0

    done = swanctl("--terminate", "--ike", "office")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "terminate completed successfully" in done.stdout
    assert swanctl("--list-sas").stdout == ""


def test_a_refusal_is_told_with_its_reason(swanctl: Swanctl) -> None:
    assert swanctl("--load-all").returncode == 0
    done = swanctl("--initiate", "--child", "refused")
    assert done.returncode != 0
    assert "peer authentication failed: the peer's key is another one" in done.stdout
    assert "establishing child 'refused' failed: the peer did not prove its identity" in done.stdout + done.stderr


def test_connections_are_listed(swanctl: Swanctl) -> None:
    assert swanctl("--load-all").returncode == 0
    done = swanctl("--list-conns")
    assert done.returncode == 0
    for line in (
        "office: IKEv2, no reauthentication, rekeying every 14400s, dpd delay 30s",
        "local:  192.0.2.1",
        "remote: 198.51.100.2",
        "local public key authentication:",
        "id: C=CH, O=Example, CN=gw-a.example.org",
        "certs: C=CH, O=Example, CN=gw-a.example.org",
        "remote pre-shared key authentication:",
        "id: gw-b.example.org",
        "net: TUNNEL, rekeying every 3600s",
        "local:  10.1.0.0/16",
    ):
        assert line in done.stdout


def test_certificates_authorities_and_algorithms_are_listed(swanctl: Swanctl) -> None:
    assert swanctl("--load-all").returncode == 0
    done = swanctl("--list-certs")
    assert done.returncode == 0
    assert 'subject:  "C=CH, O=Example, CN=gw-a.example.org"' in done.stdout
    assert "has private key" in done.stdout
    done = swanctl("--list-authorities")
    assert done.returncode == 0
    assert "cacert: C=CH, O=Example, CN=Root CA" in done.stdout
    done = swanctl("--list-algs")
    assert done.returncode == 0
    assert "CURVE_25519[cryptography]" in done.stdout


def test_version_and_stats(swanctl: Swanctl) -> None:
    done = swanctl("--version", "--daemon")
    assert done.returncode == 0
    assert "ikectld" in done.stdout
    done = swanctl("--stats")
    assert done.returncode == 0
    assert "uptime: 4h, since Nov 22 01:00:00 2026" in done.stdout
