"""EAP-MD5, EAP-MSCHAPv2 and EAP-GTC, client against server: who gets in, who does not, and why."""

from __future__ import annotations

import hashlib

import pytest

from ikectl.auth.eap.base import identity_of, name_of
from ikectl.auth.eap.peer import EapPeer
from ikectl.config.model import Local
from ikectl.crypto.mschapv2 import nt_hash, session_key
from ikectl.errors import AuthenticationFailed, CredentialError
from ikectl.iana.eap import EapCode, EapType
from ikectl.iana.v2 import IdType
from ikectl.values.identity import Identity
from ikectl.wire.eap import EapMessage
from tests.auth.answers import drive
from tests.auth.eap.talk import CAROL, PASSWORDS, eap, talk
from tests.sim.tape import Tape
from tests.sim.users import user_answers

MD5, MSCHAPV2, GTC = EapType.MD5, EapType.MSCHAPV2, EapType.GTC
EACH = pytest.mark.parametrize("method", [MD5, MSCHAPV2, GTC])


@EACH
def test_the_right_password(method: EapType) -> None:
    made = talk(method).run()

    assert made.client.succeeded and made.server.verdict is True
    assert made.server.identity == CAROL
    assert made.client.msk == made.server.msk
    assert (made.client.msk is not None) is (method is MSCHAPV2)
    assert not made.client.mutual and not made.server.mutual
    assert made.shape[0] == f"REQUEST {method}", "without remote.eap_id nobody is asked who it is"
    assert made.shape[-1] == "SUCCESS"


@EACH
def test_an_identity_is_asked_for_where_eap_id_says_who_may_come(method: EapType) -> None:
    made = talk(method, identity=Identity.parse("dave"), eap_id="%any").run()

    assert made.shape[:2] == ["REQUEST IDENTITY", "RESPONSE IDENTITY"]
    assert made.read[1].data == b"dave"
    assert made.server.identity == Identity.parse("dave")


@EACH
@pytest.mark.parametrize(
    "known, why",
    [({"carol@example.org": b"wrong"}, "wrong password"), ({}, "no user 'carol@example.org'")],
    ids=["password", "user"],
)
def test_the_wrong_password_and_the_unknown_user(method: EapType, known: dict[str, bytes], why: str) -> None:
    made = talk(method, known=known)

    with pytest.raises(AuthenticationFailed, match=r"the EAP server refuses 'carol@example.org' by EAP-"):
        made.run()

    assert made.server.verdict is False
    assert why in made.server.why
    assert made.server.msk is None and made.server.identity is None and made.client.msk is None
    assert made.shape[-1] == "FAILURE"


@EACH
def test_who_has_no_password(method: EapType) -> None:
    with pytest.raises(CredentialError, match=r"no password of user 'carol@example.org'"):
        talk(method, given={}).run()


@EACH
def test_no_password_goes_over_as_text_in_a_log(method: EapType) -> None:
    made = talk(method).run()
    for packet in made.read:
        assert "Ar3etTnp" not in repr(packet)
    if method is not GTC:
        assert not any(b"Ar3etTnp" in packet for packet in made.packets)


def test_md5_is_chap() -> None:
    """RFC 1994 §4.1: MD5 over the identifier, the secret and the challenge."""
    request, response = talk(MD5).run().read[:2]

    challenge = request.data[1:17]
    hashed = hashlib.md5(bytes((response.identifier,)) + b"Ar3etTnp" + challenge).digest()
    assert response.data == b"\x10" + hashed + b"carol@example.org"


def test_mschapv2_octet_by_octet() -> None:
    """draft-kamath-pppext-eap-mschapv2-02 §2: challenge, response, success, success."""
    challenge, response, success, accepted, last = talk(MSCHAPV2).run().read

    assert challenge.data[0] == 1 and challenge.data[2:5] == (len(challenge.data)).to_bytes(2, "big") + b"\x10"
    assert response.data[:5] == bytes((2, challenge.data[1], *len(response.data).to_bytes(2, "big"), 49))
    assert response.data[21:29] == bytes(8) and response.data[53:54] == b"\0"
    assert response.data[54:] == b"carol@example.org"
    assert success.data[4:6] == b"S=" and success.data[46:] == b" M=Welcome"
    assert accepted.data == b"\x03"
    assert (last.code, last.identifier) == (EapCode.SUCCESS, accepted.identifier)


def test_the_key_of_mschapv2() -> None:
    made = talk(MSCHAPV2).run()
    response = made.read[1].data[29:53]
    assert made.client.msk == session_key(nt_hash(b"Ar3etTnp"), response)


def test_a_domain_belongs_to_the_name_but_not_to_the_sum() -> None:
    user = {"CORP\\carol": b"Ar3etTnp"}
    made = talk(MSCHAPV2, identity=Identity.parse("CORP\\carol"), eap_id="%any", known=user, given=user).run()
    assert name_of(made.server.identity or CAROL) == "CORP\\carol"


def test_a_server_that_does_not_know_our_password_is_found_out() -> None:
    """It says success to whatever it gets: its proof is wrong."""
    made = talk(MSCHAPV2)
    challenge = drive(made.server.begin(), made.of_server)
    drive(made.client.take(challenge), made.of_client)
    forged = b"\x03" + challenge[6:7] + (4 + 42).to_bytes(2, "big") + b"S=" + b"A" * 40
    request = EapMessage(EapCode.REQUEST, challenge[1] + 1, MSCHAPV2, forged).write()

    with pytest.raises(AuthenticationFailed, match="does not know our password"):
        drive(made.client.take(request), made.of_client)
    assert not made.client.succeeded and made.client.msk is None


@pytest.mark.parametrize("method", [MSCHAPV2, MD5])
def test_success_before_its_time(method: EapType) -> None:
    made = talk(method)
    request = drive(made.server.begin(), made.of_server)
    success = EapMessage(EapCode.SUCCESS, request[1]).write()

    with pytest.raises(AuthenticationFailed, match="before we proved anything"):
        drive(made.client.take(success), made.of_client)
    if method is MSCHAPV2:
        drive(made.client.take(request), made.of_client)
        with pytest.raises(AuthenticationFailed, match="in the midst of EAP-MSCHAPV2"):
            drive(made.client.take(success), made.of_client)
    assert not made.client.succeeded


def test_why_a_server_refuses_is_told() -> None:
    made = talk(MSCHAPV2)
    challenge = drive(made.server.begin(), made.of_server)
    drive(made.client.take(challenge), made.of_client)
    text = b"E=648 R=0 C=00112233445566778899AABBCCDDEEFF V=3 M=expired"
    failure = b"\x04" + challenge[6:7] + (4 + len(text)).to_bytes(2, "big") + text
    said = drive(
        made.client.take(EapMessage(EapCode.REQUEST, challenge[1] + 1, MSCHAPV2, failure).write()), made.of_client
    )
    assert EapMessage.read(said).data == b"\x04"

    with pytest.raises(AuthenticationFailed, match="error 648: the password has expired"):
        drive(made.client.take(EapMessage(EapCode.FAILURE, challenge[1] + 1).write()), made.of_client)


def test_gtc_gives_the_password_once() -> None:
    client = EapPeer(Local(auth=eap(GTC)), CAROL, Tape(1, "client"))
    first = EapMessage(EapCode.REQUEST, 1, GTC, b"Password: ").write()
    assert EapMessage.read(drive(client.take(first), user_answers(PASSWORDS))).data == b"Ar3etTnp"
    with pytest.raises(AuthenticationFailed, match="only a password can be configured"):
        drive(client.take(EapMessage(EapCode.REQUEST, 2, GTC, b"PIN of your token: ").write()), user_answers(PASSWORDS))


# -- whose name counts ----------------------------------------------------------------


@EACH
def test_another_user_than_the_ike_identity(method: EapType) -> None:
    """carol's connection does not open to dave with a password of his own."""
    made = talk(method, identity=Identity.parse("dave"))

    if method is MSCHAPV2:
        with pytest.raises(AuthenticationFailed):
            made.run()
        assert "logs in as user 'dave'" in made.server.why
    else:  # the name does not travel: the IKE identity is tried with dave's password
        with pytest.raises(AuthenticationFailed):
            talk(method, identity=Identity.parse("dave"), given={"dave": b"UgaM65Va"}).run()


@EACH
def test_another_user_than_eap_id(method: EapType) -> None:
    made = talk(method, identity=Identity.parse("dave"), eap_id="*@example.org")
    with pytest.raises(AuthenticationFailed, match="refuses 'dave'"):
        made.run()
    assert made.server.why == "user 'dave' is proven; remote.eap_id wants *@example.org"
    assert made.server.identity is None and made.server.msk is None


@pytest.mark.parametrize(
    "said, kind",
    [
        (b"carol@example.org", IdType.RFC822_ADDR),
        (b"carol", IdType.FQDN),
        (b"@example.org", IdType.RFC822_ADDR),
        (b"%any", IdType.KEY_ID),
        (b"*", IdType.KEY_ID),
        (b"fqdn:carol", IdType.KEY_ID),
        (b"{2}:carol", IdType.KEY_ID),
        (b"\xff\xfe", IdType.KEY_ID),
        (b"\x30\x03abc", IdType.KEY_ID),
        (b"CN=carol, O=org", IdType.DER_ASN1_DN),
        (Identity.parse("CN=carol, O=org").data, IdType.DER_ASN1_DN),
    ],
)
def test_who_a_peer_says_it_is(said: bytes, kind: IdType) -> None:
    assert identity_of(said).kind is kind
