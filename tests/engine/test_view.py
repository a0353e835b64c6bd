"""Snapshots are taken from facts, at one instant."""

from __future__ import annotations

from dataclasses import replace

from ikectl.config.model import Child, Connection, Mark, Mode
from ikectl.crypto.proposal import ChildSuite, IkeSuite, parse_proposal
from ikectl.engine.view import ChildSaView, IkeSaView, MarksView, NatView, SuiteView
from ikectl.iana.v2 import Protocol
from ikectl.sa.asks import Usage
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.env import Env
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.reqids import Policies, PolicyKey
from ikectl.values.path import Endpoint, Path

NOW = 500.0


def ike_sa() -> IkeSa:
    env = Env(random_for=lambda number: bytes)
    path = Path(Endpoint.parse("192.0.2.1", 500), Endpoint.parse("192.0.2.2", 500))
    return IkeSa(env, bytes, 7, True, bytes(7) + b"\1", bytes(8), path)


def child_sa(sa: IkeSa, config: Child, proposal: str = "aes128gcm16") -> ChildSa:
    return ChildSa(
        uniqueid=9,
        ike=sa,
        config=config,
        initiator=True,
        protocol=Protocol.ESP,
        mode=Mode.TRANSPORT,
        suite=ChildSuite.of(parse_proposal(proposal, Protocol.ESP)),
        spi_in=1,
        spi_out=2,
        ts_local=(),
        ts_remote=(),
        path=sa.path,
        encap=False,
        policies=Policies(PolicyKey(None, "", (), (), b""), 4),
        if_id_in=5,
        if_id_out=6,
        keys=None,
    )


def test_an_sa_that_just_began() -> None:
    view = IkeSaView.of(ike_sa(), NOW)
    assert (view.name, view.state, view.uniqueid) == ("(unnamed)", "CREATED", 7)
    assert view.suite is None
    assert view.established_for is None
    assert view.rekey_in is None
    assert view.nat == NatView()


def test_an_sa_that_stands() -> None:
    sa = ike_sa()
    sa.connection = Connection("office", (), encap=True, if_id_in=1, if_id_out=2)
    sa.suite = IkeSuite.of(parse_proposal("aes256-sha256-modp2048-ke1_mlkem768", Protocol.IKE))
    sa.established_at, sa.rekey_at = NOW - 60, NOW + 30
    view = IkeSaView.of(sa, NOW)
    assert (view.name, view.established_for, view.rekey_in) == ("office", 60, 30)
    assert (view.if_id_in, view.if_id_out) == (1, 2)
    assert view.nat == NatView(fake=True)
    assert view.suite == SuiteView(
        "AES_CBC", 256, "HMAC_SHA2_256_128", 0, "PRF_HMAC_SHA2_256", "MODP_2048", ("ML_KEM_768",)
    )
    assert IkeSaView.of(sa, NOW + 100).rekey_in == 0, "overdue is now"


def test_a_nat_that_is_real_is_not_called_fake() -> None:
    sa = ike_sa()
    sa.connection = Connection("office", (), encap=True)
    sa.nat = replace(sa.nat, local=True)
    assert IkeSaView.of(sa, NOW).nat == NatView(local=True)


def test_a_child() -> None:
    config = Child("net", (), mark_in=Mark(1, 0xFF), mark_out=Mark(0, 0))
    child = child_sa(ike_sa(), config)
    child.installed_at, child.expire_at = NOW - 5, NOW + 50
    usage = Usage(bytes_in=1)
    view = ChildSaView.of(child, NOW, usage)
    assert (view.name, view.uniqueid, view.reqid, view.state) == ("net", 9, 4, "INSTALLING")
    assert (view.mode, view.protocol, view.esn) == ("TRANSPORT", "ESP", False)
    assert (view.installed_for, view.rekey_in, view.expires_in) == (5, None, 50)
    assert view.usage is usage
    assert view.marks == MarksView((1, 0xFF), None)
    assert view.suite == SuiteView("AES_GCM_16", 128)


def test_a_child_with_a_key_exchange_of_its_own() -> None:
    view = ChildSaView.of(child_sa(ike_sa(), Child("net", ()), "chacha20poly1305-x25519-esn"), NOW)
    assert view.suite == SuiteView("CHACHA20_POLY1305", 0, ke="CURVE_25519")
    assert view.esn
