"""EAP in the configuration: who logs in, whom the server's certificate must name, and the secrets behind it."""

from __future__ import annotations

import pytest

from ikectl.config.model import AuthKind, Inner, SecretKind
from ikectl.crypto.mschapv2 import nt_hash
from ikectl.iana.eap import EapType
from ikectl.values.identity import Identity, IdentityPattern
from tests.config.trees import load_text, mistakes

CHILD = "children { net { remote_ts = 10.0.0.0/8 } }"


def told(sections: str, version: int = 2) -> list[str]:
    """The mistakes of a connection called gw, without their places."""
    text = f"connections {{ gw {{\nversion = {version}\n{sections}\n{CHILD} }} }}"
    return [line.partition(": ")[2] for line in mistakes(text)]


@pytest.mark.parametrize(
    ("sections", "error"),
    [
        (
            "local { auth = eap }\nremote { auth = pubkey }",
            "gw.local.eap_id: say who logs in; set eap_id, or id if it is the same",
        ),
        ("local { eap_id = carol }", "gw.local.eap_id: belongs to a round with auth = eap"),
        ("local { aaa_id = aaa }", "gw.local.aaa_id: belongs to a round with auth = eap"),
        ("remote { eap_id = carol }", "gw.remote.eap_id: belongs to a round with auth = eap"),
        (
            "local { auth = eap-md5\nid = carol }\nremote { auth = psk }",
            "gw.local.auth: whoever answers could have the password, for remote.auth = psk proves no server; give the "
            "gateway a certificate (auth = pubkey in remote)",
        ),
        (
            "local { auth = eap-mschapv2\nid = carol }\nremote { auth = eap-mschapv2 }",
            "gw.remote.auth: EAP on both sides takes a method that proves both: eap-tls, eap-ttls or eap-peap",
        ),
        (
            "local { auth = psk }\nremote { auth = eap-mschapv2\neap_id = %any }",
            "gw.remote.auth: whoever answers could have the password, for local.auth = psk proves no server; give the "
            "gateway a certificate (auth = pubkey in local)",
        ),
    ],
)
def test_mistakes(sections: str, error: str) -> None:
    assert error in told(sections)


def test_a_client_and_a_gateway() -> None:
    text = """
        connections {
          client {
            version = 2
            local  { auth = eap-ttls-pap
                     id = moon.example.org
                     eap_id = carol
                     aaa_id = aaa.example.org }
            remote { auth = pubkey
                     id = sun.example.org }
            children { net { remote_ts = 10.0.0.0/8 } }
          }
          gateway {
            version = 2
            local  { auth = pubkey
                     id = sun.example.org }
            remote { auth = eap-dynamic
                     eap_id = "*@example.org" }
            children { net { local_ts = 10.0.0.0/8 } }
          }
        }
        """
    client, gateway = load_text(text).loaded.connections
    (local,) = client.local
    assert (local.auth.kind, local.auth.eap, local.auth.inner) == (AuthKind.EAP, (EapType.TTLS,), Inner.PAP)
    assert (local.eap_id, str(local.aaa_id)) == (Identity.parse("carol"), "aaa.example.org")
    (remote,) = gateway.remote
    assert remote.eap_id == IdentityPattern.parse("*@example.org")
    assert remote.auth.eap[0] is EapType.TLS and len(remote.auth.eap) == 6


@pytest.mark.parametrize(
    "sections",
    [
        "local { auth = eap\neap_id = %any\nid = carol }\nremote { auth = pubkey }",
        "local { auth = eap-tls\nid = carol }\nremote { auth = eap-tls }",
        "local { auth = pubkey }\nremote { auth = eap-mschapv2\neap_id = %any }",
    ],
)
def test_what_goes_together(sections: str) -> None:
    assert told(sections) == []
    assert told(sections, version=0) == []


def test_ikev1_has_no_eap() -> None:
    assert told("local { auth = pubkey }\nremote { auth = eap-mschapv2 }", version=1)[0] == (
        "gw.remote.auth: eap is for IKEv2; set version = 2"
    )


def test_secrets_of_users() -> None:
    hashed = nt_hash(b"Ar3etTnp")
    loaded = load_text(
        f"""
        secrets {{
          eap-carol {{ id = carol
                      secret = Ar3etTnp }}
          ntlm-dave {{ id = dave
                      id2 = "CORP\\dave"
                      secret = 0x{hashed.hex()} }}
        }}
        """
    ).loaded
    carol, dave = loaded.secrets
    assert (carol.kind, bytes(carol.data)) == (SecretKind.USER, b"Ar3etTnp")
    assert (dave.kind, bytes(dave.data)) == (SecretKind.NTLM, bytes(hashed))
    assert len(dave.owners) == 2


@pytest.mark.parametrize("secret", ["0x00", "squeamish", "sixteen-octets-x"])
def test_what_is_no_nt_hash(secret: str) -> None:
    (line,) = mistakes(f"secrets {{ ntlm-dave {{ id = dave\nsecret = {secret} }} }}")
    assert line.endswith("an NT hash is 16 octets, written as 0x and hex or 0s and Base64")
    assert secret not in line
