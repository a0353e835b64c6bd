"""Our EAP server and wpa_supplicant's client: TLS 1.3, and what Debian's strongSwan lacks of PEAP and TTLS."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ikectl.auth.eap.server import EapServer
from ikectl.config.model import Auth, AuthKind, Inner, Local, Remote
from ikectl.daemon.answers import of_credentials
from ikectl.daemon.tls import Tls
from ikectl.iana.eap import EapType
from ikectl.pki.store import Store
from ikectl.values.identity import Identity, IdentityPattern
from tests.auth.answers import drive
from tests.auth.eap.talk import ADDRESS
from tests.lab.certificates import Authority, Credential
from tests.lab.peers.eapol_test import Outcome, log_in
from tests.sim.tape import Tape
from tests.sim.users import user_answers

CAROL, PASSWORD = "carol.example.org", "Ar3etTnp"
TLS, TTLS, PEAP = EapType.TLS, EapType.TTLS, EapType.PEAP
PASSES = f'identity="{CAROL}"\npassword="{PASSWORD}"\nca_cert="ca.pem"'
WAYS = {
    "tls": (TLS, f'eap=TLS\nidentity="{CAROL}"\nca_cert="ca.pem"\nclient_cert="carol.pem"\nprivate_key="carol.key"'),
    "peap-mschapv2": (PEAP, f'eap=PEAP\nphase2="auth=MSCHAPV2"\n{PASSES}'),
    "peap-gtc": (PEAP, f'eap=PEAP\nphase2="auth=GTC"\n{PASSES}'),
    "ttls-pap": (TTLS, f'eap=TTLS\nphase2="auth=PAP"\n{PASSES}'),
    "ttls-mschapv2": (TTLS, f'eap=TTLS\nphase2="auth=MSCHAPV2"\n{PASSES}'),
    "ttls-eap-md5": (TTLS, f'eap=TTLS\nphase2="autheap=MD5"\n{PASSES}'),
    "ttls-eap-mschapv2": (TTLS, f'eap=TTLS\nphase2="autheap=MSCHAPV2"\n{PASSES}'),
    "ttls-eap-gtc": (TTLS, f'eap=TTLS\nphase2="autheap=GTC"\n{PASSES}'),
}


@pytest.fixture(scope="module")
def root() -> Authority:
    return Authority.root("Lab Root")


def pem(credential: Credential) -> bytes:
    return credential.certificate.public_bytes(Encoding.PEM)


def key_of(credential: Credential) -> bytes:
    return credential.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def login(
    directory: Path, root: Authority, offered: tuple[EapType, ...], network: str, password: str = PASSWORD
) -> tuple[Outcome, EapServer]:
    """One login at a server that offers these methods and knows carol by `password`."""
    gateway, carol = root.issue("gw.example.org"), root.issue(CAROL)
    (directory / "ca.pem").write_bytes(root.certificates[0].public_bytes(Encoding.PEM))
    (directory / "carol.pem").write_bytes(pem(carol))
    (directory / "carol.key").write_bytes(key_of(carol))
    store = Store()
    store.add_certificate(root.certificates[0].public_bytes(Encoding.DER), ca=True)
    store.add_certificate(pem(gateway))
    store.add_key(key_of(gateway))
    known = user_answers({CAROL: password.encode()})
    answers = {**of_credentials(store), **Tls(store).immediate, **known}
    remote = Remote(auth=Auth(AuthKind.EAP, eap=offered, inner=Inner.ANY), eap_id=IdentityPattern.parse("%any"))
    local = Local(id=Identity.parse("gw.example.org"))
    server = EapServer(remote, Identity.parse("192.0.2.7"), ADDRESS, local, Tape(1, "server"))
    outcome = log_in(
        network,
        directory,
        server,
        lambda: drive(server.begin(), answers),
        lambda said: drive(server.take(said), answers),
    )
    return outcome, server


@pytest.mark.conformance("v2-69")
@pytest.mark.parametrize("tls13", [False, True], ids=["tls12", "tls13"])
@pytest.mark.parametrize("way", WAYS)
def test_methods_of_tls(tmp_path: Path, root: Authority, way: str, tls13: bool) -> None:
    """eapol_test compares the keys of both ends."""
    method, network = WAYS[way]
    network += f'\nphase1="tls_disable_tlsv1_3={int(not tls13)}"'
    outcome, server = login(tmp_path, root, (method,), network)

    assert outcome.success and outcome.tls13 is tls13, outcome.printed + server.why
    assert server.identity == Identity.parse(CAROL)


@pytest.mark.conformance("v2-69")
def test_a_client_that_wants_another_method(tmp_path: Path, root: Authority) -> None:
    outcome, server = login(tmp_path, root, (TLS, PEAP, EapType.MSCHAPV2), f"eap=MSCHAPV2\n{PASSES}")
    assert outcome.success and server.msk is not None, outcome.printed + server.why


@pytest.mark.conformance("v2-70")
@pytest.mark.parametrize("way", ["peap-mschapv2", "ttls-pap"])
def test_a_wrong_password(tmp_path: Path, root: Authority, way: str) -> None:
    method, network = WAYS[way]
    outcome, server = login(tmp_path, root, (method,), network, password="another")
    assert not outcome.success
    assert server.verdict is False and "wrong password" in server.why and server.msk is None
