"""The conversation around the methods: negotiation, repeats, order, bounds (RFC 3748 §4, §5)."""

from __future__ import annotations

import pytest

from ikectl.auth.eap.base import MAX_IDENTITY, MAX_ROUNDS, MAX_TYPES_SHOWN
from ikectl.errors import AuthenticationFailed
from ikectl.iana.eap import EapCode, EapType
from ikectl.wire.eap import MAX_PACKET, EapMessage
from tests.auth.answers import drive
from tests.auth.eap.talk import Talk, talk

MD5, MSCHAPV2, GTC, NAK = EapType.MD5, EapType.MSCHAPV2, EapType.GTC, EapType.NAK
REQUEST, RESPONSE = EapCode.REQUEST, EapCode.RESPONSE


def ask(made: Talk, packet: EapMessage) -> EapMessage:
    return EapMessage.read(drive(made.client.take(packet.write()), made.of_client))


# -- which method ----------------------------------------------------------------------


def test_a_client_that_does_not_take_what_is_offered_names_what_it_does() -> None:
    made = talk(MD5, GTC, offered=(MSCHAPV2, GTC, MD5)).run()

    assert made.shape == [
        "REQUEST MSCHAPV2",
        "RESPONSE NAK",
        "REQUEST GTC",
        "RESPONSE GTC",
        "SUCCESS",
    ]
    assert made.read[1].data == bytes((MD5, GTC))


def test_no_method_in_common() -> None:
    made = talk(MD5, offered=(MSCHAPV2, GTC))

    with pytest.raises(AuthenticationFailed, match=r"none of the methods we take \(EAP-MD5\)"):
        made.run()

    assert made.server.why == (
        "the client wants none of the EAP methods of remote.auth, the last of which was EAP-MSCHAPV2; it takes EAP-MD5"
    )


def test_a_long_list_of_methods_is_told_in_short() -> None:
    made = talk(MSCHAPV2)
    request = drive(made.server.begin(), made.of_server)
    nak = EapMessage(RESPONSE, request[1], NAK, bytes(range(50, 250)) * 50).write()

    assert EapMessage.read(drive(made.server.take(nak), made.of_server)).code is EapCode.FAILURE
    assert made.server.why.count("EAP") < 2 * MAX_TYPES_SHOWN and len(made.server.why) < 400


def test_a_method_without_its_password_is_not_taken() -> None:
    made = talk(MSCHAPV2, MD5, offered=(MD5, MSCHAPV2), given={})
    with pytest.raises(Exception, match="no password of user"):
        made.run()


def test_a_client_that_wants_a_proven_server_takes_no_method_that_proves_none() -> None:
    made = talk(MSCHAPV2, MD5, GTC, only_mutual=True)
    with pytest.raises(AuthenticationFailed, match=r"none of the methods we take \(none\)"):
        made.run()
    assert made.read[1] == EapMessage(RESPONSE, made.packets[0][1], NAK, b"\0")


@pytest.mark.parametrize("kind", [EapType.AKA, EapType.EXPANDED, EapType(99)])
def test_methods_nobody_has_here(kind: EapType) -> None:
    made = talk(MSCHAPV2)
    assert ask(made, EapMessage(REQUEST, 1, kind, b"data")) == EapMessage(RESPONSE, 1, NAK, bytes((MSCHAPV2,)))


def test_a_nak_in_the_midst_of_a_method() -> None:
    made = talk(MSCHAPV2, GTC)
    request = drive(made.server.begin(), made.of_server)
    response = drive(made.client.take(request), made.of_client)
    request = drive(made.server.take(response), made.of_server)
    nak = EapMessage(RESPONSE, request[1], NAK, bytes((GTC,))).write()

    assert EapMessage.read(drive(made.server.take(nak), made.of_server)).code is EapCode.FAILURE
    assert "in the midst" in made.server.why


def test_another_method_in_the_midst_of_one() -> None:
    made = talk(MSCHAPV2, GTC)
    drive(made.client.take(drive(made.server.begin(), made.of_server)), made.of_client)
    with pytest.raises(AuthenticationFailed, match="EAP-GTC in the midst of EAP-MSCHAPV2"):
        ask(made, EapMessage(REQUEST, 200, GTC, b"Password: "))


# -- order ------------------------------------------------------------------------------


def test_a_repeated_request_gets_the_same_response() -> None:
    made = talk(MSCHAPV2)
    request = drive(made.server.begin(), made.of_server)
    first = drive(made.client.take(request), made.of_client)
    assert drive(made.client.take(request), made.of_client) == first


def test_a_notification_is_acknowledged_and_changes_nothing() -> None:
    made = talk(MSCHAPV2)
    note = EapMessage(REQUEST, 3, EapType.NOTIFICATION, b"Your password expires in 3 days")
    assert ask(made, note) == EapMessage(RESPONSE, 3, EapType.NOTIFICATION)
    assert made.client.notice == "Your password expires in 3 days"
    assert made.run().client.succeeded


def test_a_notification_forges_no_log_line() -> None:
    made = talk(MSCHAPV2)
    ask(made, EapMessage(REQUEST, 3, EapType.NOTIFICATION, b"all well\n2026 ikectld: \x1b[2Jroot \xff" + bytes(500)))
    assert made.client.notice == "all well 2026 ikectld:  [2Jroot \ufffd"


@pytest.mark.parametrize(
    "packet",
    [
        EapMessage(RESPONSE, 77, MD5, b"x"),
        EapMessage(REQUEST, 1, MD5, b"x"),
        EapMessage(EapCode.SUCCESS, 1),
        EapMessage(EapCode.FAILURE, 1),
    ],
)
def test_what_answers_no_request_ends_it(packet: EapMessage) -> None:
    made = talk(MD5)
    drive(made.server.begin(), made.of_server)

    assert EapMessage.read(drive(made.server.take(packet.write()), made.of_server)).code is EapCode.FAILURE
    assert made.server.verdict is False and "answers no request" in made.server.why


def test_nothing_follows_the_end() -> None:
    made = talk(MD5).run()
    with pytest.raises(AuthenticationFailed, match="after the success"):
        drive(made.client.take(made.packets[0]), made.of_client)
    assert EapMessage.read(drive(made.server.take(made.packets[1]), made.of_server)).code is EapCode.FAILURE
    assert made.server.verdict is False and made.server.identity is None


def test_the_client_is_no_server() -> None:
    with pytest.raises(AuthenticationFailed, match="as if it were the client"):
        drive(talk(MD5).client.take(EapMessage(RESPONSE, 1, MD5, b"x").write()), {})


# -- bounds -----------------------------------------------------------------------------


def test_a_server_without_end() -> None:
    made = talk(MD5)
    for number in range(MAX_ROUNDS):
        ask(made, EapMessage(REQUEST, number % 256, EapType.IDENTITY))
    with pytest.raises(AuthenticationFailed, match="does not come to an end"):
        ask(made, EapMessage(REQUEST, 255, EapType.IDENTITY))


@pytest.mark.parametrize("said", [b"", b"x" * (MAX_IDENTITY + 1)])
def test_identities_have_bounds(said: bytes) -> None:
    made = talk(MD5, eap_id="%any")
    request = drive(made.server.begin(), made.of_server)
    drive(made.server.take(EapMessage(RESPONSE, request[1], EapType.IDENTITY, said).write()), made.of_server)
    assert made.server.verdict is False and "an EAP identity of" in made.server.why


def test_packets_have_bounds() -> None:
    packet = EapMessage(REQUEST, 1, GTC, bytes(MAX_PACKET)).write()
    with pytest.raises(AuthenticationFailed, match="are the most"):
        drive(talk(GTC).client.take(packet), {})
