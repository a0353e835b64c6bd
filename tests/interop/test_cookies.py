"""Cookies with strongSwan, in either direction: who asks for them, and who shows them (RFC 7296 §2.6).

strongSwan knows no puzzles (RFC 8019): how those go is told in tests/scenarios.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

import pytest

from ikectl.crypto import ke
from ikectl.crypto.proposal import parse_proposal
from ikectl.iana.v2 import KeyExchangeMethod, NotifyType, Protocol
from ikectl.wire.v2.keying import KE, Nonce
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.sa import SA
from tests.interop.conftest import Site
from tests.lab.namespaces import entered
from tests.sim.forge import chain_of, clear
from tests.sim.tape import Tape

IKE = "aes256gcm16-prfsha384-x25519"
FEW = 3
"""Half-open SAs of one address from which on both daemons want cookies of it."""
WITHIN = 5.0
OUTER = {"moon": "192.0.2.1", "sun": "198.51.100.1"}


def knocks(number: int) -> bytes:
    """An honest IKE_SA_INIT, which nobody goes on from."""
    random = Tape(number, "stranger")
    group = KeyExchangeMethod.CURVE_25519
    offer = SA((parse_proposal(IKE, Protocol.IKE)._replace(number=1),))
    payloads = [offer, KE(group, ke.generate(group, random).public), Nonce(random(32))]
    return clear(chain_of(payloads), spi_i=random(8))


def half_open(site: Site, initiator: str, responder: str, numbers: Iterable[int]) -> list[Message]:
    """Leave half-open SAs of the initiator's address with the responder; what that answers."""
    answers = []
    with entered(site.world.namespace(initiator)):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(WITHIN)
        sock.bind((OUTER[initiator], 0))
        sock.connect((OUTER[responder], 500))
        for number in numbers:
            sock.send(knocks(number))
            answers.append(Message.read(sock.recv(65535)))
    return answers


@pytest.mark.conformance("v2-43", "v2-44")
def test_under_load_a_cookie_is_shown_and_the_tunnel_comes_up(site: Site, initiator: str) -> None:
    """HDR, SA, KE, Ni -->  <-- HDR, N(COOKIE);  HDR, N(COOKIE), SA, KE, Ni -->  <-- HDR, SA, KE, Nr."""
    site.configure(ike=IKE)
    responder = {"moon": "sun", "sun": "moon"}[initiator]
    opened = half_open(site, initiator, responder, range(FEW))
    assert all(message.get(KE) is not None for message in opened)
    (refused,) = half_open(site, initiator, responder, [FEW])
    assert [each.type for each in refused.payloads if isinstance(each, Notify)] == [NotifyType.COOKIE]
    first, second = site.ends(initiator)
    first.up("net")
    assert site.world.ping("alice", "bob", count=3).lost == 0
    sent = site.world.wire("router").packets("ike", source=OUTER[initiator])
    mine = [
        Message.read(each.body) for each in sent if each.ports[0] == 500 and each.exchange.startswith("IKE_SA_INIT")
    ]
    plain = [message for message in mine if message.notify(NotifyType.COOKIE) is None]
    shown = [message for message in mine if message.notify(NotifyType.COOKIE) is not None]
    assert plain and shown, "either may have been repeated on a busy machine"
    assert all(message.payloads[1:] == plain[0].payloads for message in shown)
    for sa in second.sas():
        if sa["state"] != "ESTABLISHED":
            second.forget(sa)  # what the strangers left
