"""Options to the model, through a file and through a vici message alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.config.build import (
    authority_from_vici,
    certificate_from_vici,
    connection_from_vici,
    key_from_vici,
    secret_from_vici,
)
from ikectl.config.model import (
    Action,
    Child,
    Connection,
    CopyDscp,
    Fresh,
    HwOffload,
    Mark,
    Mode,
    SendCert,
    Tcp,
    Unique,
)
from ikectl.config.schema import CHILD, CONNECTION
from ikectl.crypto.proposal import default_esp, default_ike, format_proposal
from ikectl.errors import ConfigErrors
from ikectl.iana.v2 import Protocol
from ikectl.values.identity import IdentityPattern
from ikectl.values.secret import Secret
from ikectl.values.selector import SelectorSpec
from tests.config.conftest import Pki
from tests.config.trees import load_text, mistakes


def connection(options: str) -> Connection:
    (found,) = load_text(f"connections {{ gw {{\n{options}\n}} }}").loaded.connections
    return found


def child(options: str) -> Child:
    (found,) = connection(f"children {{ net {{\n{options}\n}} }}").children
    return found


def connection_mistakes(options: str) -> list[str]:
    return mistakes(f"connections {{ gw {{\n{options}\n}} }}")


def child_mistakes(options: str) -> list[str]:
    return connection_mistakes(f"children {{ net {{\n{options}\n}} }}")


def test_a_connection_that_says_nothing_has_the_defaults() -> None:
    found = connection("")
    assert found == Connection("gw", default_ike())
    assert child("") == Child("net", default_esp())


def test_every_built_option_of_a_connection_arrives() -> None:
    found = connection(
        """
        version = 2
        local_addrs = 192.0.2.1, gw.example.org
        remote_addrs = 198.51.100.0/24
        local_port = 4600
        remote_port = 4700
        proposals = aes256-sha256-modp2048, default
        encap = yes
        tcp = fallback
        remote_tcp_port = 443
        dpd_delay = 30s
        send_certreq = no
        send_cert = always
        keyingtries = 0
        unique = replace
        rekey_time = 1h
        if_id_in = 0x10
        if_id_out = 17
        """
    )
    assert [spec.text for spec in found.local_addrs] == ["192.0.2.1", "gw.example.org"]
    assert [spec.text for spec in found.remote_addrs] == ["198.51.100.0/24"]
    assert (found.version, found.local_port, found.remote_port, found.encap) == (2, 4600, 4700, True)
    assert (found.tcp, found.remote_tcp_port) == (Tcp.FALLBACK, 443)
    assert (found.dpd_delay, found.send_certreq, found.keyingtries) == (30, False, 0)
    assert (found.send_cert, found.unique) == (SendCert.ALWAYS, Unique.REPLACE)
    assert (found.rekey_time, found.over_time, found.rand_time) == (3600, 360, 360)
    assert (found.if_id_in, found.if_id_out) == (16, 17)
    assert format_proposal(found.proposals[0]).startswith("aes256")
    assert [proposal.number for proposal in found.proposals] == list(range(1, len(default_ike()) + 2))


def test_marks_that_are_each_childs_own() -> None:
    found = child("mark_in = %unique/0xffff\nmark_out = %unique-dir\nset_mark_in = %same")
    assert found.mark_in == found.set_mark_in == Mark(0, 0xFFFF, Fresh.CHILD)
    assert found.mark_out == Mark(0, 0xFFFFFFFF, Fresh.DIRECTION)


def test_every_built_option_of_a_child_arrives() -> None:
    found = child(
        """
        ah_proposals = sha256
        esp_proposals = aes128gcm16-x25519
        sha256_96 = yes
        local_ts = 10.0.0.0/8[tcp/80], dynamic
        remote_ts = ::/0
        mode = transport
        policies = no
        policies_fwd_out = yes
        dpd_action = restart
        start_action = start
        close_action = start
        reqid = 5
        priority = 6
        interface = eth0
        mark_in = 1
        mark_out = 0x2/0xff
        mark_in_sa = yes
        set_mark_in = %same
        set_mark_out = 3/0xf
        if_id_in = 7
        if_id_out = 8
        replay_window = 128
        hw_offload = yes
        copy_df = no
        copy_ecn = no
        copy_dscp = in
        icmp = yes
        """
    )
    assert [proposal.protocol for proposal in found.proposals] == [Protocol.ESP, Protocol.AH]
    assert [proposal.number for proposal in found.proposals] == [1, 2]
    assert found.sha256_96
    assert found.local_ts == (SelectorSpec.parse("10.0.0.0/8[tcp/80]"), SelectorSpec.parse("dynamic"))
    assert found.remote_ts == (SelectorSpec.parse("::/0"),)
    assert found.mode == Mode.TRANSPORT
    assert (found.policies, found.policies_fwd_out, found.mark_in_sa) == (False, True, True)
    assert (found.dpd_action, found.start_action, found.close_action) == (Action.START,) * 3
    assert (found.reqid, found.priority, found.interface, found.replay_window) == (5, 6, "eth0", 128)
    assert found.mark_in == found.set_mark_in == Mark(1, 0xFFFFFFFF)
    assert (found.mark_out, found.set_mark_out) == (Mark(2, 0xFF), Mark(3, 0xF))
    assert (found.if_id_in, found.if_id_out) == (7, 8)
    assert (found.hw_offload, found.copy_dscp) == (HwOffload.CRYPTO, CopyDscp.IN)
    assert (found.copy_df, found.copy_ecn, found.icmp) == (False, False, True)


@pytest.mark.parametrize(
    ("options", "rekey", "life", "rand"),
    [
        ("", 3600, 3960, 360),
        ("rekey_time = 20m", 1200, 1320, 120),
        ("life_time = 1000", 900, 1000, 100),
        ("rekey_time = 1000\nlife_time = 1500", 1000, 1500, 500),
        ("rekey_time = 1000\nlife_time = 1500\nrand_time = 0", 1000, 1500, 0),
        ("rekey_time = 0", 0, 0, 0),
        ("rekey_time = 0\nlife_time = 1h", 0, 3600, 0),
        ("rekey_time = 2h\nlife_time = 1h", 7200, 3600, 0),
        ("rekey_time = 10\nrand_time = 1h", 10, 11, 10),
    ],
)
def test_lifetimes_fill_in_one_another(options: str, rekey: int, life: int, rand: int) -> None:
    found = child(options)
    assert (found.rekey_time, found.life_time, found.rand_time) == (rekey, life, rand)


def test_volume_limits_fill_in_one_another() -> None:
    found = child("rekey_bytes = 1m\nrekey_packets = 1000\nlife_packets = 2000")
    assert (found.rekey_bytes, found.life_bytes, found.rand_bytes) == (1048576, 1153433, 104857)
    assert (found.rekey_packets, found.life_packets, found.rand_packets) == (1000, 2000, 1000)


@pytest.mark.parametrize(
    ("options", "rekey", "over", "rand"),
    [
        ("", 14400, 1440, 1440),
        ("rekey_time = 0", 0, 0, 0),
        ("rekey_time = 1000\nover_time = 50", 1000, 50, 50),
        ("rekey_time = 1000\nover_time = 50\nrand_time = 5000", 1000, 50, 1000),
    ],
)
def test_ike_lifetimes_fill_in_one_another(options: str, rekey: int, over: int, rand: int) -> None:
    found = connection(options)
    assert (found.rekey_time, found.over_time, found.rand_time) == (rekey, over, rand)


@pytest.mark.parametrize("proposals", ["", "proposals = aes128-sha256-x25519, aes128gcm16-prfsha256-ecp256"])
def test_connections_that_say_the_same_share_their_proposals(proposals: str) -> None:
    """One tuple, loaded together or not: a peer's offer is compared with it once for all of them."""
    assert connection(proposals).proposals is connection(proposals).proposals
    assert [proposal.number for proposal in connection(proposals).proposals] in ([1, 2], [1, 2, 3])


def test_ah_alone_offers_no_esp() -> None:
    found = child("ah_proposals = sha256")
    assert found.esp_proposals == ()
    assert found.protocol == Protocol.AH
    assert child("ah_proposals = sha256\nesp_proposals = default").esp_proposals == default_esp()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("mediation = yes", "gw.mediation: not built yet; set it to no or leave it out"),
        (
            "fragmentation = forse",
            "gw.fragmentation: 'forse' is not one of yes, no, accept and force; did you mean 'force'?",
        ),
        ("childless = perhaps", "gw.childless: 'perhaps' is not one of allow, prefer, force and never"),
        ("ppk_required = yes", "gw.ppk_required: set version = 2, or IKEv1, which knows no such key, would do"),
        ("version = 2\nvips = " + "0.0.0.0, " * 5, "gw.vips: at most 4 addresses of one family can be asked for"),
        (
            "vips = 0.0.0.0, 10.0.0.1",
            "gw.vips: IKEv1 asks for at most one IPv4 and one IPv6 address; leave out the others, or set version = 2",
        ),
        ("tcp = yes", "gw.tcp: IKEv1 does not go inside TCP (RFC 9329); set version = 2"),
        ("remote_tcp_port = 443", "gw.remote_tcp_port: nothing goes there without tcp = yes or fallback"),
        ("tcp = udp", "gw.tcp: 'udp' is not one of yes, no and fallback"),
        ("version = 3", "gw.version: 3 is not one of 0, 1 and 2"),
        ("if_id_in = %unique", "gw.if_id_in: %unique is not built yet; write a number"),
        ("rekeytime = 1h", "gw: unknown option 'rekeytime'; did you mean 'rekey_time'?"),
        ("quux = 1", "gw: unknown option 'quux'"),
        ("chldren { }", "gw: unknown section 'chldren'; did you mean 'children'?"),
        ("local = x", "gw.local: a section, not an option; write local { }"),
        ("remote_adrs = x", "gw: unknown option 'remote_adrs'; did you mean 'remote_addrs'?"),
        ("proposals { }", "gw.proposals: an option, not a section; write proposals = value"),
        ("rekey_time = 4w", "gw.rekey_time: '4w' is not a duration such as 90s, 5m, 4h or 1d"),
        ("encap = perhaps", "gw.encap: 'perhaps' is neither yes nor no"),
        ("local_port = 70000", "gw.local_port: '70000' is larger than 65535"),
        ("unique = kep", "gw.unique: 'kep' is not one of never, no, keep and replace; did you mean 'keep'?"),
        (
            "local_addrs = 10.0.0.0/8, 10.0.0.300",
            "gw.local_addrs: '10.0.0.300' is not an address, a network, a range of addresses, a host name or %any",
        ),
        ("proposals = aes256-sha266-modp2048", 'gw.proposals: unknown algorithm "sha266": did you mean "sha256"?'),
        (
            "local { auth = eap-aka }",
            "gw.local.auth: 'eap-aka': the keys of SIM cards are with their operator, so it needs a RADIUS server, "
            "and this version has no connector",
        ),
        ("local { id = fqdn: }", "gw.local.id: an empty identity"),
        ("local { certs = gw.pem }", "gw.local.certs: cannot read x509/gw.pem: No such file or directory"),
        ("remote { revocation = hard }", "gw.remote.revocation: 'hard' is not one of strict, ifuri and relaxed"),
        ("remote { id = email:^(x$ }", "gw.remote.id: not a regular expression: a parenthesis is never closed"),
        (
            "".join(f"local-{n} {{ }}\n" for n in range(1, 6)),
            "gw.local-5: 4 rounds of authentication are enough; keep 4 local sections",
        ),
        ("local { cert { handle = 5 } }", "gw.local.cert.handle: not built yet; leave it out"),
        ("local { cert { } }", "gw.local.cert: set file"),
        ("local { cert { file = gw.pem } }", "gw.local.cert.file: must be an absolute path"),
        ("children { x = 1 }", "gw.children: unknown option 'x'; children are sections"),
    ],
)
def test_a_mistake_in_a_connection_is_named(options: str, error: str) -> None:
    (found,) = connection_mistakes(options)
    assert found.startswith("swanctl.conf:")
    assert found.partition(": ")[2].startswith(error)


PADS_TUNNELS = "the kernel pads in tunnel mode only; leave it out, or set mode = tunnel"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            "start_action = trip",
            "'trip' is not one of none, clear, start, restart, trap, trap|start and start|trap; did you mean 'trap'?",
        ),
        (
            "dpd_action = trap|start",
            "'trap|start' is not one of none, clear, start, restart and trap; did you mean 'restart'?",
        ),
        ("mode = beet", "'beet' is not built yet; this version knows tunnel, transport, pass and drop"),
        ("mode = tunel", "'tunel' is not one of tunnel, transport, pass and drop; did you mean 'tunnel'?"),
        ("updown = /bin/true", "not built yet; leave it out"),
        ("tfc_padding = 70000", "'70000' is larger than 65535"),
        ("tfc_padding = 100\nmode = transport", PADS_TUNNELS),
        (
            "tfc_padding = mtu\nipcomp = yes",
            "with IPComp the tunnel is not ESP's, and the kernel does not pad; keep one of the two",
        ),
        ("tfc_padding = 100\nah_proposals = sha256", "AH has no padding; set esp_proposals, or leave it out"),
        ("mark_in = %unique/5", "the mask 0x5 of %unique must be bits side by side, as 0xffff0000 are"),
        ("mark_out = %uniqe", "'%uniqe' is neither %unique nor %unique-dir"),
        ("set_mark_in = %unique", "write %same, and %unique in mark_in or mark_out"),
        ("mark_in = 1/2/3", "'2/3' is not a number"),
        ("replay_window = 9999", "9999 packets are more than the kernel's 4096"),
        ("interface = a/b", "'a/b' is no name of a network interface"),
        ("local_ts = 10.0.0.0/8[nosuch]", "unknown protocol 'nosuch'; write its number or any"),
        ("remote_ts = bogus", "'bogus' is not a network, a range of addresses or the word dynamic"),
        ("ah_proposals = default", "there is no default; name the algorithms"),
        (
            "esp_proposals = aes128gcm16-ke1_mlkem768",
            '"aes128gcm16-ke1_mlkem768" has additional key exchanges but no first one, such as x25519',
        ),
        (
            "ah_proposals = sha256-x25519-ke1_mlkem768-ke3_x25519",
            '"sha256-x25519-ke1_mlkem768-ke3_x25519" has one method as key exchange and as additional key exchange 3: '
            "it may serve once",
        ),
        ("local_ts = " + "10.0.0.0/8, " * 256, "256 entries are more than 255"),
    ],
)
def test_a_mistake_in_a_child_is_named(options: str, error: str) -> None:
    option = options.partition(" ")[0]
    assert child_mistakes(options) == [f"swanctl.conf:3: gw.children.net.{option}: {error}"]


def test_values_that_change_nothing_are_taken() -> None:
    assert connection(
        """version = 2\nfragmentation = true\nchildless = allow\naggressive = no\nmediation = no
        reauth_time = 0s\ndpd_timeout = 0\nremote { revocation = relaxed }"""
    ) == connection("version = 2\nremote { }")
    assert child("ipcomp = no\ninactivity = 0s\nper_cpu_sas = no\ntfc_padding = 0\nhostaccess = 0") == child("")


def test_a_pattern_of_the_peer_is_kept_and_no_identity_is_none() -> None:
    found = connection("local { id = %any }\nremote { id = *@example.org }")
    assert found.local[0].id is None
    assert found.remote[0].id == IdentityPattern.parse("*@example.org")


# -- vici -------------------------------------------------------------------


def test_a_vici_message_builds_what_the_file_builds(pki: Pki) -> None:
    tree = {
        "version": b"2",
        "remote_addrs": [b"192.0.2.1", b"192.0.2.2"],
        "local": {"certs": [pki.gw_pem]},
        "remote": {"id": b"CN=*", "cacerts": [pki.ca_der]},
        "children": {"net": {"local_ts": [b"10.0.0.0/8"], "start_action": b"start"}},
    }
    found = connection_from_vici("gw", tree)
    assert found.local[0].certs == (pki.gw_der,)
    assert str(found.local[0].id) == "C=CH, CN=gw"
    assert found.remote[0].cacerts == (pki.ca_der,)
    assert found.children[0].start_action == Action.START
    assert [spec.text for spec in found.remote_addrs] == ["192.0.2.1", "192.0.2.2"]


def test_vici_errors_have_no_place_and_come_together() -> None:
    with pytest.raises(ConfigErrors) as caught:
        connection_from_vici("gw", {"mediation": b"yes", "children": {"net": {"mode": b"\xff", "x": b"y"}}})
    assert str(caught.value).split("\n") == [
        "gw.mediation: not built yet; set it to no or leave it out",
        "gw.children.net.mode: not valid UTF-8",
        "gw.children.net: unknown option 'x'",
    ]


@pytest.mark.parametrize(
    ("tree", "error"),
    [
        ({"version": [b"1", b"2"]}, "gw.version: takes one value, not a list"),
        ({"encap": b"y" * 70000}, "gw.encap: longer than 65535 octets"),
        ({"local": {"certs": [b"junk"]}}, "gw.local.certs: not a certificate in PEM or DER"),
        ({"local": {"cert": {"file": b"/x.pem"}}}, "gw.local.cert.file: files are not read here; send the certificate"),
        ({"children": {f"c{n}": {} for n in range(1001)}}, "gw.children: more than 1000 children"),
        ({"children": {"a\nb": {}}}, "'gw.children.a\\nb': a name is 1 to 255 printable characters"),
        ({"local_addrs": [b"%any"] * 300}, "gw.local_addrs: 300 entries are more than 255"),
    ],
)
def test_hostile_vici_messages_are_refused(tree: dict[str, object], error: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        connection_from_vici("gw", tree)  # type: ignore[arg-type]
    assert str(caught.value).startswith(error)


def test_a_certificate_by_path_is_read_by_the_given_door(pki: Pki) -> None:
    found = connection_from_vici("gw", {"local": {"cert-a": {"file": b"/a.pem"}}}, {"/a.pem": pki.gw_pem}.__getitem__)
    assert found.local[0].certs == (pki.gw_der,)


def test_shared_secrets_arrive_as_they_are() -> None:
    message = {"id": b"ike-1", "type": b"ike", "data": b"0x41", "owners": [b"moon", b"%any"]}
    found = secret_from_vici(message)
    assert found.data == Secret(b"0x41")  # the client decodes
    assert found.owners == (IdentityPattern.parse("moon"), IdentityPattern.parse("%any"))
    assert found.name == "ike-1"
    assert "0x41" not in repr(found)
    assert secret_from_vici({"type": b"IKE", "data": b"x"}).owners == ()


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"data": b"squeamish"}, "type: is missing"),
        (
            {"type": b"ppk", "data": b"squeamish", "owners": [b"*@example.org"]},
            "ppk secret: '*@example.org' is a pattern, and a post-quantum key has identities as they are",
        ),
        ({"type": b"ntlm", "data": b"squeamish"}, "ntlm secret: an NT hash has 16 octets, not 9"),
        ({"type": b"ik", "data": b"squeamish"}, "type: 'ik' is unknown; did you mean 'ike'?"),
        ({"type": b"ike"}, "data: is missing"),
        ({"type": b"ike", "data": b""}, "ike secret: the secret is empty"),
        ({"type": b"ike", "data": b"squeamish" * 1000}, "ike secret: the secret is longer than 4096 octets"),
        ({"type": b"ike", "data": [b"squeamish"]}, "data: must be a single value"),
        ({"type": b"ike", "data": b"squeamish", "owners": {}}, "owners: must be a list"),
        ({"type": b"ike", "data": b"squeamish", "owners": [b"\xff"]}, "ike secret: not valid UTF-8"),
        ({"type": b"ike", "data": b"squeamish", "owners": [b"fqdn:"]}, "ike secret: an empty identity"),
        ({"type": b"ike", "data": b"squeamish", "owners": [b"a"] * 256}, "ike secret: owners: more than 255"),
    ],
)
def test_bad_secrets_are_refused_without_a_word_of_them(message: dict[str, object], error: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        secret_from_vici(message)  # type: ignore[arg-type]
    assert str(caught.value) == error
    assert "squeamish" not in repr(caught.value)


def test_certificates_arrive_in_either_form(pki: Pki) -> None:
    assert certificate_from_vici({"type": b"X509", "flag": b"CA", "data": pki.ca_pem}).ca
    plain = certificate_from_vici({"type": b"x509", "data": pki.gw_der})
    assert (plain.data, plain.ca) == (pki.gw_der, False)
    assert certificate_from_vici({"type": b"x509ca", "data": pki.ca_der}).ca
    for message in ({"type": b"X509_AC", "data": b""}, {"type": b"X509", "flag": b"AA", "data": b""}):
        with pytest.raises(ConfigErrors, match="not built yet"):
            certificate_from_vici(message)
    with pytest.raises(ConfigErrors, match="not a certificate"):
        certificate_from_vici({"type": b"X509", "data": b"junk"})
    with pytest.raises(ConfigErrors, match="no certificate in it"):
        certificate_from_vici({"type": b"X509", "data": pki.ec_pem})


def test_keys_arrive_in_every_form(pki: Pki) -> None:
    for octets, kind in (
        (pki.ec_pem, "ecdsa"),
        (pki.ec_der, "ecdsa"),
        (b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + pki.ec_pem, "ecdsa"),
        (pki.ed_pem, "ed25519"),
        (pki.rsa_traditional, "rsa"),
    ):
        for announced in (b"any", kind.encode()):
            key = key_from_vici({"type": announced, "data": octets})
            assert key.kind == kind
            assert isinstance(key.data, Secret)
    assert key_from_vici({"data": pki.ec_pem}).data == pki.ec_der


def test_bad_keys_are_refused_without_a_word_of_them(pki: Pki) -> None:
    for message, error in (
        ({"type": b"rsa", "data": pki.ec_pem}, "private key: type rsa was announced, but it is ecdsa"),
        ({"type": b"any", "data": pki.ec_encrypted}, "private key: it is encrypted"),
        ({"type": b"any", "data": b"squeamish"}, "private key: not a private key in a form known here"),
        ({"type": b"any", "data": pki.gw_pem}, "private key: no private key in it"),
        ({"type": b"dsa", "data": b""}, "type dsa: not built yet"),
    ):
        with pytest.raises(ConfigErrors) as caught:
            key_from_vici(message)
        assert str(caught.value) == error


def test_an_authority_is_one_certificate(pki: Pki) -> None:
    assert authority_from_vici("ca", {"cacert": pki.ca_pem}).cacert == pki.ca_der
    assert authority_from_vici("ca", {"file": b"/ca"}, lambda path: pki.ca_pem).cacert == pki.ca_der
    for tree, error in (
        ({}, "ca: set one of cacert and file"),
        ({"cacert": pki.ca_pem, "file": b"/ca"}, "ca: set one of cacert and file"),
        (
            {"cacert": pki.ca_pem, "crl_uris": [b"ldap://x/y"]},
            "ca.crl_uris: ldap is not spoken here; have the CA publish its CRL by HTTP, or put it into x509crl/",
        ),
        (
            {"cacert": pki.ca_pem, "crl_uris": [b"x/y.crl"]},
            "ca.crl_uris: 'x/y.crl' is no URI; write http://..., https://... and file://...",
        ),
        ({"cacert": pki.ca_pem, "ocsp_uris": [b"file:///x"]}, "ca.ocsp_uris: file is not one of http and https"),
        ({"cacert": b"x"}, "ca.cacert: not a certificate in PEM or DER"),
    ):
        with pytest.raises(ConfigErrors) as caught:
            authority_from_vici("ca", tree)  # type: ignore[arg-type]
        assert str(caught.value) == error


octets = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=12).map(str.encode),
    st.sampled_from([b"yes", b"0", b"1h", b"default", b"10.0.0.0/8", b"%any", b"aes256-sha256-x25519", b"psk"]),
)
keys = st.one_of(st.sampled_from([o.key for o in (*CONNECTION.options, *CHILD.options)]), st.text(max_size=8))
options = st.dictionaries(keys, st.one_of(octets, st.lists(octets, max_size=3)), max_size=5)


@given(options, options, options)
def test_any_vici_message_is_a_connection_or_mistakes(top: dict, auth: dict, child: dict) -> None:
    try:
        connection_from_vici("gw", {**top, "local": auth, "remote1": auth, "children": {"net": child}})
    except ConfigErrors as errors:
        assert errors.errors


@given(options)
def test_any_flat_message_is_a_credential_or_mistakes(message: dict) -> None:
    for build in (secret_from_vici, certificate_from_vici, key_from_vici):
        for kind in (b"ike", b"X509", b"any"):
            try:
                build({**message, "type": kind})
            except ConfigErrors as errors:
                assert errors.errors
