"""Every command, asked by strongSwan's Python client over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import vici
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from vici.exception import CommandException, EventUnknownException

from ikectl.config.model import SecretKind
from ikectl.sa.asks import DescribePools, Lease, Leased, Release, Usage
from ikectl.vici.commands import COMMANDS
from tests.pki.certs import Authority
from tests.vici.credentials import made
from tests.vici.serving import Served

OFFICE: dict[str, Any] = {
    "version": "2",
    "local_addrs": ["192.0.2.1"],
    "remote_addrs": ["198.51.100.2"],
    "dpd_delay": "30s",
    "local": {"auth": "psk", "id": "gw-a.example.org"},
    "remote": {"auth": "psk", "id": "gw-b.example.org"},
    "children": {
        "net": {"local_ts": ["10.1.0.0/16"], "remote_ts": ["10.2.0.0/16"], "esp_proposals": ["aes256gcm16"]},
        "refused": {"remote_ts": ["10.3.0.0/16"]},
        "endless": {"remote_ts": ["10.4.0.0/16[tcp/443]"]},
    },
}


@pytest.fixture
def session(served: Served) -> Iterator[vici.Session]:
    client = served.connect()
    yield vici.Session(client)
    client.close()


@pytest.fixture
def office(session: vici.Session) -> vici.Session:
    session.load_conn({"office": OFFICE})
    return session


def up(session: vici.Session, child: str = "net", **more: str) -> list[dict[str, bytes]]:
    return list(session.initiate({"ike": "office", "child": child, **more}))


# -- the daemon


def test_version(session: vici.Session) -> None:
    assert session.version() == {
        "daemon": b"ikectld",
        "version": b"0.1.0",
        "sysname": b"Linux",
        "release": b"6.1.0",
        "machine": b"x86_64",
    }


def test_stats(session: vici.Session) -> None:
    stats = session.stats()
    assert stats["uptime"] == {"running": b"4h", "since": b"Nov 22 01:00:00 2026"}
    assert stats["ikesas"] == {"total": b"0", "half-open": b"0"}
    assert set(stats["queues"]) == {"critical", "high", "medium", "low"}


def test_reload_settings(session: vici.Session, served: Served) -> None:
    session.reload_settings()
    assert served.memory.reloaded == 1


def test_the_algorithms_by_the_names_operators_know(session: vici.Session) -> None:
    algorithms = session.get_algorithms()
    assert "AES_CBC" in algorithms["encryption"]
    assert "AES_GCM_16" in algorithms["aead"]
    assert "HMAC_SHA2_256_128" in algorithms["integrity"]
    assert "PRF_HMAC_SHA2_256" in algorithms["prf"]
    assert {"MODP_2048", "ECP_256", "CURVE_25519", "ML_KEM_768"} <= set(algorithms["ke"])


# -- connections


def test_connections_come_and_go(session: vici.Session) -> None:
    assert session.get_conns() == {"conns": []}
    session.load_conn({"office": OFFICE})
    session.load_conn({"office": OFFICE})
    assert session.get_conns() == {"conns": [b"office"]}
    session.unload_conn({"name": "office"})
    assert session.get_conns() == {"conns": []}


def test_a_connection_as_tools_list_it(office: vici.Session) -> None:
    (event,) = office.list_conns()
    conn = event["office"]
    assert list(conn)[:6] == ["local_addrs", "remote_addrs", "local_port", "remote_port", "version", "reauth_time"]
    assert conn["local_addrs"] == [b"192.0.2.1"]
    assert conn["version"] == b"IKEv2"
    assert conn["rekey_time"] == b"14400"
    assert conn["dpd_delay"] == b"30"
    assert conn["unique"] == b"UNIQUE_NO"
    assert conn["local-1"]["class"] == b"pre-shared key"
    assert conn["local-1"]["id"] == b"gw-a.example.org"
    assert conn["remote-1"]["id"] == b"gw-b.example.org"
    net = conn["children"]["net"]
    assert net["mode"] == b"TUNNEL"
    assert net["rekey_time"] == b"3600"
    assert (net["local-ts"], net["remote-ts"]) == ([b"10.1.0.0/16"], [b"10.2.0.0/16"])
    assert conn["children"]["refused"]["local-ts"] == [b"dynamic"]
    assert conn["children"]["endless"]["remote-ts"] == [b"10.4.0.0/16[tcp/https]"]


def test_a_connection_of_ikev1_as_tools_list_it(session: vici.Session) -> None:
    session.load_conn(
        {
            "road": {
                "version": "1",
                "dpd_delay": "30s",
                "dpd_timeout": "2m",
                "reauth_time": "1h",
                "local": {"auth": "psk"},
                "remote-1": {"auth": "psk"},
                "remote-2": {"auth": "xauth-pam:vpn"},
            },
        }
    )
    session.load_conn(
        {
            "home": {
                "version": "1",
                "local-1": {"auth": "rsa-encryption"},
                "local-2": {"auth": "xauth", "xauth_id": "carol"},
                "remote": {"auth": "rsa-encryption"},
            }
        }
    )
    road, home = (next(iter(event.values())) for event in session.list_conns())
    assert (road["version"], road["dpd_timeout"], road["reauth_time"]) == (b"IKEv1", b"120", b"3600")
    assert road["rekey_time"] == b"0"
    assert (road["remote-2"]["class"], road["remote-2"]["xauth"]) == (b"XAuth", b"pam:vpn")
    assert home["local-1"]["method"] == b"rsa-encryption"
    assert (home["local-2"]["class"], home["local-2"]["xauth_id"]) == (b"XAuth", b"carol")


def test_passwords_of_users_are_kept_apart_from_keys(session: vici.Session, served: Served) -> None:
    for kind in ("EAP", "XAUTH"):
        session.load_shared({"id": f"for-{kind}", "type": kind, "data": "squeamish", "owners": ["carol"]})
        assert served.memory.credentials.loaded_secrets[f"for-{kind}"].kind is SecretKind.USER
    assert session.get_shared() == {"keys": [b"for-EAP", b"for-XAUTH"]}
    with pytest.raises(CommandException, match="a password needs the name of its user"):
        session.load_shared({"type": "XAUTH", "data": "squeamish"})


def test_list_conns_of_one_name(office: vici.Session) -> None:
    assert list(office.list_conns({"ike": "elsewhere"})) == []
    assert len(list(office.list_conns({"ike": "office"}))) == 1


def test_a_connection_with_mistakes_is_refused_whole_and_names_them(session: vici.Session) -> None:
    with pytest.raises(CommandException, match=r"(?s)locl_addrs.*nonsense"):
        session.load_conn({"office": {**OFFICE, "locl_addrs": ["x"], "rekey_time": "nonsense"}})
    assert session.get_conns() == {"conns": []}


def test_an_unknown_connection_cannot_be_unloaded(office: vici.Session) -> None:
    with pytest.raises(CommandException, match="there is no connection 'ofice'; did you mean office"):
        office.unload_conn({"name": "ofice"})


# -- SAs


def test_initiate_tells_its_story_and_waits_until_the_child_stands(office: vici.Session) -> None:
    story = up(office)
    assert [line["msg"].decode().split(" between")[0] for line in story[:2]] == [
        "initiating office",
        "IKE SA established",
    ]
    assert b"established: ESP tunnel" in story[2]["msg"]
    assert {(line["ikesa-name"], line["ikesa-uniqueid"]) for line in story} == {(b"office", b"1")}
    assert {line["group"] for line in story} == {b"IKE", b"CHD"}
    (event,) = office.list_sas()
    assert list(event["office"]["child-sas"]) == ["net-1"]


def test_a_child_alone_finds_its_connection(office: vici.Session, served: Served) -> None:
    list(office.initiate({"child": "net"}))
    (command,) = served.memory.commands
    assert (command.ike, command.child) == ("office", "net")  # type: ignore[union-attr]


@pytest.mark.parametrize(("level", "lines"), [("-1", 0), ("0", 2), ("1", 3), ("4", 3)])
def test_loglevel_chooses_the_lines(office: vici.Session, level: str, lines: int) -> None:
    assert len(up(office, loglevel=level)) == lines


def test_initiate_says_why_it_failed(office: vici.Session) -> None:
    with pytest.raises(CommandException, match="establishing child 'refused' failed: the peer did not prove"):
        up(office, "refused")


def test_initiate_stops_waiting_when_its_time_is_over(office: vici.Session) -> None:
    with pytest.raises(CommandException, match="not established after 10 ms; the attempt goes on"):
        up(office, "endless", timeout="10")


def test_initiate_does_not_wait_at_all(office: vici.Session, served: Served) -> None:
    assert up(office, "endless", timeout="-1") == []
    assert len(served.memory.commands) == 1


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({}, "say what to initiate"),
        ({"child": "nett"}, "there is no child 'nett'; did you mean net"),
        ({"ike": "ofice"}, "there is no connection 'ofice'; did you mean office"),
        ({"ike": "office", "child": "xyz"}, "there is no child 'xyz' in connection 'office'; there is endless, net"),
        ({"child": "net", "timeout": "soon"}, "timeout: 'soon' is not a number"),
        ({"child": "net", "tiemout": "1"}, "unknown key 'tiemout'; did you mean timeout"),
        ({"child": ["net"]}, "child: a value belongs here, not a list"),
        ({"child": b"\xff"}, "child: not UTF-8"),
        ({"child": "net", "init-limits": "perhaps"}, "neither yes nor no"),
    ],
)
def test_initiate_says_what_is_wrong_with_the_request(office: vici.Session, request_: Any, why: str) -> None:
    with pytest.raises(CommandException, match=why):
        list(office.initiate(request_))


def test_terminate_counts_what_it_closed(office: vici.Session, served: Served) -> None:
    up(office)
    story = list(office.terminate({"ike": "office"}))
    assert [line["msg"] for line in story] == [b"child net{1} closed: deleted by us", b"IKE SA closed: deleted by us"]
    assert not served.memory.sas


def test_terminate_answers_with_the_counts(office: vici.Session) -> None:
    up(office)
    up(office)
    answer = office.request("terminate", {"child": "net"})
    assert answer == {"success": b"yes", "matches": b"2", "terminated": b"2"}
    assert next(iter(office.list_sas()))["office"]["child-sas"] == {}


def test_terminate_by_number(office: vici.Session) -> None:
    up(office)
    up(office)
    list(office.terminate({"child-id": "2"}))
    (event,) = office.list_sas()
    assert list(event["office"]["child-sas"]) == ["net-1"]
    list(office.terminate({"ike-id": "1", "force": "yes", "timeout": "1000"}))
    assert list(office.list_sas()) == []


def test_nothing_to_terminate(office: vici.Session) -> None:
    with pytest.raises(CommandException, match="no matching SAs to terminate found"):
        list(office.terminate({"ike": "office"}))
    with pytest.raises(CommandException, match="say what to terminate"):
        list(office.terminate({}))


def test_rekey(office: vici.Session) -> None:
    up(office)
    assert office.rekey({"ike": "office"})["matches"] == b"1"
    assert office.rekey({"child": "net"})["matches"] == b"1"
    (event,) = office.list_sas()
    assert event["office"]["uniqueid"] == b"2"
    assert list(event["office"]["child-sas"]) == ["net-2"]


def test_what_cannot_be_rekeyed(office: vici.Session) -> None:
    with pytest.raises(CommandException, match="no matching SAs to rekey found"):
        office.rekey({"ike": "office"})
    with pytest.raises(CommandException, match="no matching SAs to rekey found"):
        office.rekey({"ike": "office", "reauth": "yes"})


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"gateway": "192.0.2.9"}, "say whom to redirect"),
        ({"ike": "office"}, "neither an address nor a name"),
        ({"ike": "office", "gateway": "a b"}, "neither an address nor a name"),
        ({"ike": "office", "gateway": "192.0.2.9", "peer-ip": "1.2.3.4.5/99"}, "1.2.3.4.5/99"),
    ],
)
def test_what_cannot_be_redirected(office: vici.Session, request_: dict[str, str], why: str) -> None:
    with pytest.raises(CommandException, match=why):
        office.request("redirect", request_)


def test_an_sa_with_every_key_that_tools_print(office: vici.Session) -> None:
    up(office)
    (event,) = office.list_sas()
    sa = dict(event["office"])
    children = sa.pop("child-sas")
    assert sa == {
        "uniqueid": b"1",
        "version": b"2",
        "state": b"ESTABLISHED",
        "local-host": b"192.0.2.1",
        "local-port": b"4500",
        "local-id": b"gw-a.example.org",
        "remote-host": b"198.51.100.2",
        "remote-port": b"4500",
        "remote-id": b"gw-b.example.org",
        "initiator": b"yes",
        "initiator-spi": b"a1a2a3a4a5a6a700",
        "responder-spi": b"b1b2b3b4b5b6b700",
        "nat-remote": b"yes",
        "nat-any": b"yes",
        "encr-alg": b"AES_GCM_16",
        "encr-keysize": b"256",
        "prf-alg": b"PRF_HMAC_SHA2_256",
        "dh-group": b"CURVE_25519",
        "established": b"3600",
        "rekey-time": b"7200",
    }
    assert children == {
        "net-1": {
            "name": b"net",
            "uniqueid": b"1",
            "reqid": b"1",
            "state": b"INSTALLED",
            "mode": b"TUNNEL",
            "protocol": b"ESP",
            "encap": b"yes",
            "spi-in": b"c0000001",
            "spi-out": b"c1000001",
            "encr-alg": b"AES_CBC",
            "encr-keysize": b"256",
            "integ-alg": b"HMAC_SHA2_256_128",
            "bytes-in": b"1300000",
            "packets-in": b"9812",
            "use-in": b"0",
            "bytes-out": b"840",
            "packets-out": b"10",
            "use-out": b"65",
            "rekey-time": b"2400",
            "life-time": b"3360",
            "install-time": b"600",
            "local-ts": [b"10.1.0.0/16"],
            "remote-ts": [b"10.2.0.0/16"],
        }
    }
    assert list(event["office"])[-1] == "child-sas", "swanctl prints the header when it meets it"


def test_a_child_that_never_saw_a_packet_has_no_time_of_use(office: vici.Session, served: Served) -> None:
    up(office)
    served.call(lambda: served.memory.usage.update({1: Usage()}))
    (event,) = office.list_sas()
    child = event["office"]["child-sas"]["net-1"]
    assert (child["bytes-in"], child["packets-out"]) == (b"0", b"0")
    assert "use-in" not in child and "use-out" not in child


@pytest.mark.parametrize(
    ("selection", "children"),
    [
        ({}, ["net-1", "net-2"]),
        ({"ike": "office", "noblock": "yes"}, ["net-1", "net-2"]),
        ({"ike-id": "1"}, ["net-1", "net-2"]),
        ({"child-id": "2"}, ["net-2"]),
        ({"child": "net", "child-id": "1"}, ["net-1"]),
        ({"ike": "elsewhere"}, None),
        ({"child": "other"}, None),
        ({"ike-id": "9"}, None),
    ],
)
def test_list_sas_selects(office: vici.Session, selection: dict[str, str], children: list[str] | None) -> None:
    up(office)
    up(office)
    found = [list(event["office"]["child-sas"]) for event in office.list_sas(selection)]
    assert found == ([children] if children else [])


# -- credentials


def test_shared_secrets_come_and_go(session: vici.Session, served: Served) -> None:
    session.load_shared({"id": "ike-1", "type": "IKE", "data": "sesame", "owners": ["gw-b.example.org"]})
    session.load_shared({"type": "ike", "data": "everybody's"})
    assert session.get_shared() == {"keys": [b"ike-1"]}, "only those that were given a name"
    secrets = served.memory.credentials.loaded_secrets
    assert bytes(secrets["ike-1"].data) == b"sesame"
    assert "sesame" not in repr(secrets)
    session.unload_shared({"id": "ike-1"})
    assert session.get_shared() == {"keys": []}
    with pytest.raises(CommandException, match="there is no shared secret 'ike-1'"):
        session.unload_shared({"id": "ike-1"})


def test_a_post_quantum_key_is_loaded_as_any_secret(session: vici.Session, served: Served) -> None:
    session.load_shared({"id": "ppk-1", "type": "PPK", "data": "sesame", "owners": ["carol"]})
    assert served.memory.credentials.loaded_secrets["ppk-1"].kind is SecretKind.PPK
    with pytest.raises(CommandException, match="is a pattern"):
        session.load_shared({"id": "ppk-2", "type": "ppk", "data": "sesame", "owners": ["*.example.org"]})


def test_keys_come_and_go(session: vici.Session) -> None:
    answer = session.load_key({"type": "any", "data": made().key})
    assert answer == {"success": b"yes", "id": made().key_id.encode()}
    assert session.get_keys() == {"keys": [made().key_id.encode()]}
    session.unload_key({"id": made().key_id})
    with pytest.raises(CommandException, match="there is no key"):
        session.unload_key({"id": made().key_id})
    with pytest.raises(CommandException, match="key"):
        session.load_key({"type": "rsa", "data": b"nonsense"})


def test_certificates(session: vici.Session) -> None:
    session.load_cert({"type": "X509", "flag": "CA", "data": made().ca})
    session.load_cert({"type": "X509", "flag": "NONE", "data": made().certificate})
    session.load_key({"type": "ecdsa", "data": made().key})
    events = list(session.list_certs())
    assert [(event["type"], event["flag"], event.get("has_privkey")) for event in events] == [
        (b"X509", b"NONE", b"yes"),
        (b"X509", b"CA", None),
    ]
    assert len(list(session.list_certs({"type": "X509", "flag": "CA"}))) == 1
    assert len(list(session.list_certs({"subject": "C=CH, O=Example, CN=Root CA"}))) == 1
    assert list(session.list_certs({"type": "X509_CRL"})) == []
    session.flush_certs({"type": "X509"})
    session.clear_creds()
    assert list(session.list_certs()) == []
    assert session.get_keys() == {"keys": []}


def test_a_certificate_that_is_none(session: vici.Session) -> None:
    with pytest.raises(CommandException, match="certificate"):
        session.load_cert({"type": "X509", "flag": "NONE", "data": b"nonsense"})
    with pytest.raises(CommandException, match="not a CRL"):
        session.load_cert({"type": "X509_CRL", "data": b"nonsense"})
    with pytest.raises(CommandException, match=r"(?i)x509_ac.*not built yet"):
        session.load_cert({"type": "X509_AC", "data": b"nonsense"})


def test_raw_public_keys_are_listed(session: vici.Session) -> None:
    public = x509.load_pem_x509_certificate(made().certificate).public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    session.load_cert({"type": "pubkey", "data": spki})
    assert [(event["type"], event["data"]) for event in session.list_certs({"type": "PUBKEY"})] == [(b"PUBKEY", spki)]
    with pytest.raises(CommandException, match="not a public key"):
        session.load_cert({"type": "pubkey", "data": b"nonsense"})


def test_crls_and_ocsp_responses(session: vici.Session, served: Served) -> None:
    crl = Authority.root().crl()
    served.memory.credentials.responses.append(b"a response")
    session.load_cert({"type": "X509_CRL", "flag": "NONE", "data": crl})
    listed = [(event["type"], event["flag"], event["data"]) for event in session.list_certs()]
    assert listed == [(b"X509_CRL", b"NONE", crl), (b"OCSP_RESPONSE", b"NONE", b"a response")]
    session.flush_certs({"type": "OCSP_RESPONSE"})
    assert [event["type"] for event in session.list_certs()] == [b"X509_CRL"]
    session.flush_certs({})
    assert list(session.list_certs()) == []


def test_authorities(session: vici.Session, served: Served) -> None:
    session.load_authority({"root": {"cacert": made().ca}})
    served.memory.files["/etc/ca.pem"] = made().ca
    uris = {"crl_uris": ["http://ca.example.org/ca.crl"], "ocsp_uris": ["http://ca.example.org/ocsp"]}
    session.load_authority({"other": {"file": "/etc/ca.pem", **uris}})
    assert session.get_authorities() == {"authorities": [b"root", b"other"]}
    events = list(session.list_authorities())
    assert [list(event) for event in events] == [["root"], ["other"]]
    assert events[1]["other"]["crl_uris"] == [b"http://ca.example.org/ca.crl"]
    assert events[0]["root"] == {"cacert": b"C=CH, O=Example, CN=Root CA", "crl_uris": [], "ocsp_uris": []}
    assert len(list(session.list_authorities({"name": "other"}))) == 1
    session.unload_authority({"name": "root"})
    with pytest.raises(CommandException, match="there is no authority 'root'; there is other"):
        session.unload_authority({"name": "root"})
    with pytest.raises(CommandException, match="No such file"):
        session.load_authority({"third": {"file": "/etc/none.pem"}})


# -- pools


def lease(served: Served, identity: str, wanted: bytes = b"") -> Leased:
    return served.call(served.memory.pools.lease, Lease(("road",), identity, 4, wanted, bytes((192, 0, 2, 7))))


def test_pools_with_their_leases(session: vici.Session, served: Served) -> None:
    assert session.get_pools() == {}
    session.load_pool({"road": {"addrs": "10.9.0.0/24", "dns": ["10.0.0.1", "2001:db8::1"]}})
    session.load_pool({"six": {"addrs": "2001:db8::10-2001:db8::1f"}})
    carol = lease(served, "carol")
    lease(served, "dave@example.org")
    served.call(served.memory.pools.release, Release("road", "carol", carol.address))
    facts = {"base": b"10.9.0.1", "size": b"254", "online": b"1", "offline": b"1"}
    six = {"base": b"2001:db8::10", "size": b"16", "online": b"0", "offline": b"0"}
    assert session.get_pools() == {"road": facts, "six": six}
    assert session.get_pools({"leases": "yes", "name": "road"}) == {
        "road": {
            **facts,
            "leases": {
                "0": {"address": b"10.9.0.1", "identity": b"carol", "status": b"offline"},
                "1": {"address": b"10.9.0.2", "identity": b"dave@example.org", "status": b"online"},
            },
        }
    }
    provision = served.call(served.memory.pools.describe, DescribePools(("road", "six", "none")))
    assert provision.octets == (4, 16)
    assert [attribute.type for attribute in provision.attributes] == [3, 10]


def test_a_pool_in_use_is_not_unloaded_and_not_moved_away(session: vici.Session, served: Served) -> None:
    session.load_pool({"road": {"addrs": "10.9.0.0/24"}})
    held = lease(served, "carol", bytes((10, 9, 0, 77)))
    with pytest.raises(CommandException, match="1 of its addresses are in use and not in the new range"):
        session.load_pool({"road": {"addrs": "10.9.0.0/26"}})
    with pytest.raises(CommandException, match="terminate their SAs first"):
        session.unload_pool({"name": "road"})
    session.load_pool({"road": {"addrs": "10.9.0.0/25"}})
    assert session.get_pools()["road"]["online"] == b"1"
    served.call(served.memory.pools.release, Release("road", "carol", held.address))
    session.unload_pool({"name": "road"})
    assert session.get_pools() == {}


@pytest.mark.parametrize(
    ("pool", "error"),
    [
        ({"addrs": "10.9.0.0/24", "dsn": "10.0.0.1"}, "road: unknown option 'dsn'; did you mean 'dns'"),
        ({"dns": "10.0.0.1"}, "road: set addrs"),
        ({"addrs": "10.8.0.0/16"}, "pool 'road' overlaps pool 'old'"),
    ],
)
def test_pools_with_mistakes(session: vici.Session, pool: dict[str, str], error: str) -> None:
    session.load_pool({"old": {"addrs": "10.8.7.0/24"}})
    with pytest.raises(CommandException, match=error):
        session.load_pool({"road": pool})


def test_a_pool_that_is_not_there(session: vici.Session) -> None:
    session.load_pool({"road": {"addrs": "10.9.0.0/24"}})
    with pytest.raises(CommandException, match="there is no pool 'raod'; did you mean road"):
        session.unload_pool({"name": "raod"})


def test_an_answer_has_room_for_so_many_leases(session: vici.Session, served: Served) -> None:
    session.load_pool({"road": {"addrs": "10.9.0.0/16"}})
    for number in range(4000):
        lease(served, f"{number:05}" + "x" * 95)
    road = session.get_pools({"leases": "yes"})["road"]
    assert len(road["leases"]) + int(road["unlisted"]) == int(road["online"]) == 4000
    assert int(road["unlisted"]) > 0


# -- the protocol's edges


@pytest.mark.parametrize("command", ["load-conn", "load-authority", "load-pool"])
def test_commands_that_take_one_section(session: vici.Session, command: str) -> None:
    for message in ({}, {"a": {}, "b": {}}, {"a": "b"}):
        with pytest.raises(CommandException, match="section"):
            session.request(command, message)


@pytest.mark.parametrize("command", [name for name, row in COMMANDS.items() if row.request.__name__ == "Nothing"])
def test_commands_without_arguments_take_none(session: vici.Session, command: str) -> None:
    with pytest.raises(CommandException, match="unknown key 'x'"):
        session.request(command, {"x": "y"})


def test_events_that_do_not_exist(session: vici.Session) -> None:
    with pytest.raises(EventUnknownException):
        next(iter(session.listen(["weather"])))


# -- policies without SAs


def test_a_trap_is_installed_listed_and_taken_away(office: vici.Session) -> None:
    office.install({"child": "net", "ike": "office"})
    (listed,) = office.list_policies({"trap": "yes"})
    assert listed["office/net"]["reqid"] == b"7" and listed["office/net"]["mode"] == b"TUNNEL"
    assert (listed["office/net"]["child"], listed["office/net"]["ike"]) == (b"net", b"office")
    assert listed["office/net"]["local-ts"] == [b"10.1.0.0/16"]
    assert not list(office.list_policies({"trap": "no", "pass": "yes", "drop": "yes"}))
    assert not list(office.list_policies({"trap": "yes", "child": "other"}))
    office.unload_conn({"name": "office"})
    office.uninstall({"child": "net"})
    assert not list(office.list_policies({"trap": "yes"}))


def test_shunts_have_no_reqid_and_a_flag_of_their_own(session: vici.Session) -> None:
    session.load_conn({"lan": {"children": {"here": {"mode": "pass"}, "rest": {"mode": "drop"}}}})
    for child in ("here", "rest"):
        session.install({"child": child})
    (passing,) = session.list_policies({"pass": "yes"})
    assert passing["lan/here"]["mode"] == b"PASS" and "reqid" not in passing["lan/here"]
    (dropping,) = session.list_policies({"drop": "yes"})
    assert list(dropping) == ["lan/rest"]


@pytest.mark.parametrize(
    ("request_", "why"),
    [({}, "say which child"), ({"child": "nat"}, "did you mean net"), ({"child": "refused"}, "needs a peer to call")],
)
def test_install_says_why_not(office: vici.Session, request_: Any, why: str) -> None:
    with pytest.raises(CommandException, match=why):
        office.install(request_)


def test_what_does_not_stand_cannot_be_taken_away(office: vici.Session) -> None:
    with pytest.raises(CommandException, match="no such policy"):
        office.uninstall({"child": "net", "ike": "office"})


def test_terminate_ends_a_call_that_has_no_sa_just_now(office: vici.Session, served: Served) -> None:
    served.memory.calling.add("office")
    list(office.terminate({"ike": "office"}))
    (command,) = served.memory.commands
    assert command.selection.ike == "office"  # type: ignore[union-attr]
