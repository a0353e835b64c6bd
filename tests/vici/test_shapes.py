"""Snapshots as trees: the keys that appear only when they apply."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ikectl.engine.view import ChildSaView, IkeSaView, MarksView, NatView, SuiteView, TasksView
from ikectl.values.identity import Identity
from ikectl.values.path import Endpoint, Path
from ikectl.values.selector import TrafficSelector
from ikectl.vici import shapes
from ikectl.vici.message import decode, encode

SA = IkeSaView(
    name="office",
    uniqueid=12,
    version=2,
    state="CONNECTING",
    initiator=False,
    spi_i=bytes(range(1, 9)),
    spi_r=bytes(8),
    path=Path(Endpoint.parse("2001:db8::1", 500), Endpoint.parse("2001:db8::2", 500)),
    local_id=None,
    remote_id=None,
)
CHILD = ChildSaView(
    name="net",
    uniqueid=3,
    reqid=1,
    state="INSTALLED",
    mode="TRANSPORT",
    protocol="AH",
    spi_in=0x1234,
    spi_out=0xFFFFFFFF,
    ts_local=(TrafficSelector.of_network("2001:db8::1/128", 6, (443, 443)),),
    ts_remote=(),
)


def test_an_sa_that_knows_nothing_yet_has_what_swanctl_prints_unseen() -> None:
    assert shapes.ike_keys(SA) == {
        "uniqueid": "12",
        "version": "2",
        "state": "CONNECTING",
        "local-host": "2001:db8::1",
        "local-port": "500",
        "local-id": "%any",
        "remote-host": "2001:db8::2",
        "remote-port": "500",
        "remote-id": "%any",
        "initiator-spi": "0102030405060708",
        "responder-spi": "0000000000000000",
    }


def test_the_section_of_children_is_there_when_sas_are_listed_and_not_in_events() -> None:
    assert shapes.ike_sa(SA, ())["office"] == {**shapes.ike_keys(SA), "child-sas": {}}
    assert shapes.ike_sa(SA, None)["office"] == shapes.ike_keys(SA)


def test_a_user_has_the_name_of_the_protocol_that_asked() -> None:
    assert shapes.ike_keys(replace(SA, version=1, user="joe"))["remote-xauth-id"] == "joe"
    assert shapes.ike_keys(replace(SA, version=2, user="joe"))["remote-eap-id"] == "joe"


def test_everything_an_sa_can_say() -> None:
    sa = replace(
        SA,
        initiator=True,
        local_id=Identity.parse("gw-a.example.org"),
        remote_id=Identity.parse("C=CH, O=Example, CN=gw-b"),
        user="joe",
        suite=SuiteView("AES_CBC", 128, "HMAC_SHA1_96", 0, "PRF_HMAC_SHA1", "ECP_256", ("ML_KEM_768", "MODP_3072")),
        nat=NatView(local=True, fake=True),
        established_for=12.9,
        rekey_in=0.4,
        reauth_in=7.0,
        if_id_in=42,
        if_id_out=0xFFFFFFFF,
        own_vips=(bytes((10, 9, 0, 1)), bytes(15) + b"\x01"),
        peer_vips=(bytes((10, 8, 0, 1)),),
        tasks=TasksView(("CHILD_CREATE",), ("IKE_AUTH",), ("INFORMATIONAL",)),
    )
    keys = shapes.ike_keys(sa)
    expected = {
        "local-id": "gw-a.example.org",
        "remote-id": "C=CH, O=Example, CN=gw-b",
        "remote-eap-id": "joe",
        "initiator": "yes",
        "nat-local": "yes",
        "nat-fake": "yes",
        "nat-any": "yes",
        "if-id-in": "0000002a",
        "if-id-out": "ffffffff",
        "encr-alg": "AES_CBC",
        "encr-keysize": "128",
        "integ-alg": "HMAC_SHA1_96",
        "prf-alg": "PRF_HMAC_SHA1",
        "dh-group": "ECP_256",
        "ake1": "ML_KEM_768",
        "ake2": "MODP_3072",
        "established": "12",
        "rekey-time": "0",
        "reauth-time": "7",
        "local-vips": ["10.9.0.1", "::1"],
        "remote-vips": ["10.8.0.1"],
        "tasks-queued": ["CHILD_CREATE"],
        "tasks-active": ["IKE_AUTH"],
        "tasks-passive": ["INFORMATIONAL"],
    }
    assert {key: keys[key] for key in expected} == expected
    assert "nat-remote" not in keys and "integ-keysize" not in keys
    assert decode(encode(keys)), "all of it can be sent"


def test_a_child_without_numbers_says_zero() -> None:
    assert shapes.child_sa(CHILD) == {
        "name": "net",
        "uniqueid": "3",
        "reqid": "1",
        "state": "INSTALLED",
        "mode": "TRANSPORT",
        "protocol": "AH",
        "spi-in": "00001234",
        "spi-out": "ffffffff",
        "bytes-in": "0",
        "packets-in": "0",
        "bytes-out": "0",
        "packets-out": "0",
        "install-time": "0",
        "local-ts": ["2001:db8::1/128[tcp/https]"],
        "remote-ts": [],
    }


def test_what_a_child_may_say_besides() -> None:
    keys = shapes.child_sa(
        replace(CHILD, esn=True, encap=True, marks=MarksView((1, 0xFF), (2, 0xFFFFFFFF)), if_id_in=1, if_id_out=2)
    )
    expected = {
        "encap": "yes",
        "esn": "1",
        "mark-in": "00000001",
        "mark-mask-in": "000000ff",
        "mark-out": "00000002",
        "mark-mask-out": "ffffffff",
        "if-id-in": "00000001",
        "if-id-out": "00000002",
    }
    assert {key: keys[key] for key in expected} == expected


def test_a_time_that_has_passed_is_zero() -> None:
    assert shapes.child_sa(replace(CHILD, rekey_in=-3.0))["rekey-time"] == "0"


@pytest.mark.parametrize("answer", [shapes.succeeded(matches=2), shapes.failed("why", matches=0)])
def test_answers_say_success_first(answer: shapes.Shape) -> None:
    assert next(iter(answer)) == "success"
