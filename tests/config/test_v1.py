"""IKEv1's options: rounds of authentication, what goes together, and what is refused with the next step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.config import reference, schema
from ikectl.config.build import connection_from_vici, secret_from_vici
from ikectl.config.model import Auth, AuthKind, Connection, Dhcp, Fragmentation, SecretKind, XauthBackend
from ikectl.config.schema import CONNECTION
from ikectl.config.tree import ViciTree
from ikectl.errors import ConfigErrors
from ikectl.values.identity import Identity

from .conftest import Pki
from .trees import load_text, mistakes

CHILD = "children { net { } }\n"
PSK = "local { auth = psk }\nremote { auth = psk }\n"


def connection(options: str, version: int = 1) -> Connection:
    loaded = load_text(f"connections {{ gw {{ version = {version}\n{options}\n}} }}").loaded
    return loaded.connections[0]


def refusals(options: str, version: int = 1) -> list[str]:
    """The mistakes, without the place and the name of the connection."""
    found = mistakes(f"connections {{ gw {{ version = {version}\n{options}\n}} }}")
    return [line.partition(": gw.")[2] or line for line in found]


# -- rounds -----------------------------------------------------------------


def test_a_gateway_asks_for_a_password_after_the_key() -> None:
    found = connection("local { auth = psk }\nremote-1 { auth = psk\nid = @road }\nremote-2 { auth = xauth-pam:vpn }")
    assert [side.auth.kind for side in found.remote] == [AuthKind.PSK, AuthKind.XAUTH]
    assert found.xauth_server is found.remote[1]
    assert found.remote[1].auth == Auth(AuthKind.XAUTH, backend=XauthBackend.PAM, profile="vpn")
    assert found.xauth_client is None
    assert not found.hybrid


def test_a_client_logs_in_by_name() -> None:
    found = connection(PSK + "local-2 { auth = xauth\nxauth_id = carol }")
    assert found.xauth_client is not None
    assert found.xauth_client.xauth_id == "carol"
    assert connection(PSK + "local-2 { auth = xauth\nid = dave }").local[1].xauth_id == "dave"


def test_rounds_may_be_numbered() -> None:
    found = connection("local { auth = psk }\nremote-a { round = 2\nauth = xauth }\nremote-b { round = 1\nauth = psk }")
    assert [side.name for side in found.remote] == ["remote-b", "remote-a"]


def test_hybrid_is_a_certificate_here_and_a_password_there() -> None:
    server = connection("local { auth = pubkey }\nremote { auth = xauth }")
    client = connection("local { auth = xauth\nxauth_id = carol\nid = carol@example.org }\nremote { auth = pubkey }")
    assert server.hybrid and server.xauth_server is server.remote[0]
    assert client.hybrid and client.xauth_client is client.local[0]
    assert client.local[0].id == Identity.parse("carol@example.org")


@pytest.mark.parametrize("word", ["rsa-encryption", "rsa-encryption-revised"])
def test_public_key_encryption_has_words_of_its_own(word: str) -> None:
    found = connection(f"local {{ auth = {word} }}\nremote {{ auth = {word} }}")
    assert found.local[0].auth.kind is found.remote[0].auth.kind is AuthKind(word)
    assert found.local[0].auth.kind.needs_certificates


@pytest.mark.parametrize(
    ("text", "backend"),
    [
        ("xauth", XauthBackend.LOCAL),
        ("xauth-generic", XauthBackend.LOCAL),
        ("xauth-eap", XauthBackend.LOCAL),
        ("xauth-chap", XauthBackend.CHAP),
        ("xauth-pam", XauthBackend.PAM),
        ("xauth-radius:primary", XauthBackend.RADIUS),
        ("xauth-noauth", XauthBackend.NOAUTH),
    ],
)
def test_backends_of_xauth(text: str, backend: XauthBackend) -> None:
    assert connection(PSK + f"remote-2 {{ auth = {text} }}").remote[1].auth.backend is backend


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            "local { auth = psk }\nremote { auth = pubkey }",
            "remote: IKEv1 proves both sides in the same way, not by psk here and pubkey there; set the same auth, or "
            "version = 2",
        ),
        (
            PSK + "remote-2 { auth = psk }",
            "remote-2: a second round of IKEv1 is XAUTH; write auth = xauth, or keep one round",
        ),
        (
            PSK + "remote-2 { auth = xauth }\nremote-3 { auth = xauth }",
            "remote-3: IKEv1 has no third authentication round; keep two remote sections",
        ),
        (
            PSK + "local-2 { auth = xauth\nxauth_id = a }\nremote-2 { auth = xauth }",
            "remote-2: one side logs in at the other; keep auth = xauth in the local or in the remote sections",
        ),
        (
            "local { auth = pubkey }\nremote-1 { auth = xauth }\nremote-2 { auth = xauth }",
            "remote-2: one round with auth = xauth is enough",
        ),
        (
            "local { auth = psk }\nremote { auth = xauth }",
            "local: beside xauth alone (hybrid authentication) this side needs auth = pubkey",
        ),
        (
            "local { auth = pubkey }\nremote { auth = xauth-noauth }",
            "remote: xauth-noauth alone would let anybody in; add a round before it, or let a backend judge",
        ),
        (PSK + "local-2 { auth = xauth }", "local-2.xauth_id: say which user logs in; set xauth_id"),
        (
            PSK + "local-2 { auth = xauth-pam\nxauth_id = a }",
            "local-2.auth: who judges a password is the gateway's matter; write auth = xauth",
        ),
        (
            "local { auth = psk\nxauth_id = a }\nremote { auth = psk }",
            "local.xauth_id: belongs to a round with auth = xauth",
        ),
        (
            PSK + "remote-2 { auth = xauth\nid = carol }",
            "remote-2: not built yet: an id of users; leave it out, those with a password may log in",
        ),
        (
            PSK + "remote-2 { auth = xauth-pan }",
            "remote-2.auth: 'xauth-pan' is not xauth, xauth-generic, xauth-chap, xauth-pam, xauth-radius "
            "or xauth-noauth; did you mean 'xauth-pam'?",
        ),
        (
            PSK + "remote-2 { auth = xauth-generic:a }",
            "remote-2.auth: 'xauth-generic:a': only xauth-pam and xauth-radius take a profile",
        ),
        (
            PSK + "remote-2 { auth = xauth-pam:../a }",
            "remote-2.auth: 'xauth-pam:../a': a profile is 1 to 64 letters, digits, dots, dashes and underscores",
        ),
        (
            "local { auth = hybrid }",
            "local.auth: hybrid is no word here: the side with the certificate has auth = pubkey, the side with the "
            "password auth = xauth and nothing else",
        ),
        (
            "local { auth = ed25519 }\nremote { auth = pubkey }",
            "local.auth: IKEv1 has no such signature; it signs with RSA (PKCS#1 v1.5) or ECDSA keys",
        ),
        (
            "local { auth = rsa }\nremote { auth = ecdsa }",
            "remote.auth: IKEv1 has one sort of signature for both sides; allow the same keys on both",
        ),
        (
            "local { auth = ecdsa }\nremote { auth = xauth }",
            "local.auth: IKEv1 has no XAUTH with ECDSA keys; allow rsa",
        ),
    ],
)
def test_rounds_that_do_not_go_together(options: str, error: str) -> None:
    assert refusals(options) == [error]


@pytest.mark.parametrize("version", [0, 2])
@pytest.mark.parametrize("word", ["xauth", "rsa-encryption"])
def test_methods_of_ikev1_need_version_1(word: str, version: int) -> None:
    options = f"local {{ auth = pubkey }}\nremote {{ auth = {word} }}"
    assert refusals(options, version) == [f"remote.auth: {word} is for IKEv1; set version = 1"]


def test_a_second_round_of_ikev2_is_told_apart_from_xauth() -> None:
    assert refusals(PSK + "remote-2 { auth = xauth }", 2) == ["remote-2.auth: xauth is for IKEv1; set version = 1"]
    assert refusals(PSK + "remote-2 { }", 0) == []


def test_a_connection_with_several_rounds_speaks_ikev2_only() -> None:
    made = connection(PSK + "remote-2 { }", 0)
    assert made.speaks(2) and not made.speaks(1)


def test_methods_of_ikev2_need_version_2() -> None:
    assert refusals("local { auth = null }\nremote { auth = psk }", 1)[0] == (
        "local.auth: null is for IKEv2; set version = 2"
    )


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            "local { auth = null\n id = moon }\nremote { auth = psk }",
            "local.id: auth = null proves no identity; leave the id out",
        ),
        (
            "local { auth = psk }\nremote { auth = null\n id = moon }",
            "remote.id: auth = null proves no identity; leave the id out",
        ),
        (
            "unique = keep\nlocal { auth = psk }\nremote { auth = null }",
            "unique: peers with auth = null cannot be told apart; set it to no or never",
        ),
    ],
)
def test_an_end_that_proves_nothing_is_nobody(options: str, why: str) -> None:
    assert refusals(options, 2) == [why]


def test_both_versions_at_once_may_differ_in_proof_but_then_speak_ikev2_only() -> None:
    both = connection(PSK, 0)
    mixed = connection("local { auth = psk }\nremote { auth = pubkey }", 0)
    assert both.speaks(1) and both.speaks(2)
    assert mixed.speaks(2) and not mixed.speaks(1)
    assert connection(PSK, 1).speaks(1) and not connection(PSK, 1).speaks(2)
    assert not connection(PSK, 2).speaks(1)


# -- options ----------------------------------------------------------------


def test_options_of_ikev1() -> None:
    found = connection(
        PSK
        + """aggressive = yes\naggressive_psk = yes\npull = no\ndpd_delay = 10\ndpd_timeout = 2m\nfragmentation = force
        vips = 0.0.0.0, ::\nlife_bytes = 10m"""
    )
    assert found.aggressive and found.aggressive_psk and not found.pull
    assert (found.dpd_timeout, found.fragmentation, found.life_bytes) == (120, Fragmentation.FORCE, 10 << 20)
    assert found.vips == (bytes(4), bytes(16))


@pytest.mark.parametrize(
    ("options", "times", "isakmp_time"),
    [
        #                                        reauth rekey  over  rand
        ("",                                         (0, 14400, 1440, 1440), 14400),
        ("reauth_time = 1h",                         (3600, 0, 360, 360),    3600),
        ("reauth_time = 2h\nrekey_time = 1h",        (7200, 3600, 720, 720), 3600),
        ("rekey_time = 0",                           (0, 0, 0, 0),           0),
        ("rekey_time = 1h\nrand_time = 2h",          (0, 3600, 360, 3600),   3600),
    ],
)  # fmt: skip
def test_times_of_phase_1(options: str, times: tuple[int, ...], isakmp_time: int) -> None:
    found = connection(PSK + options)
    assert (found.reauth_time, found.rekey_time, found.over_time, found.rand_time) == times
    assert found.isakmp_time == isakmp_time


@pytest.mark.parametrize("version", [0, 1, 2])
def test_fragments_are_sent_unless_somebody_says_no(version: int) -> None:
    assert connection(PSK, version).fragmentation is Fragmentation.YES
    for word in ("accept", "force", "no"):
        assert connection(PSK + f"fragmentation = {word}", version).fragmentation is Fragmentation(word)


@pytest.mark.parametrize("version", [0, 1])
def test_aggressive_mode_with_a_key_needs_a_word_of_consent(version: int) -> None:
    (why,) = refusals(PSK + "aggressive = yes", version)
    assert why == (
        "aggressive: with a pre-shared key whoever asks, or answers in the peer's place, gets a hash of that key and "
        "can look for it offline, unseen; use certificates or Main Mode, or set aggressive_psk = yes if the key is "
        "long and random"
    )
    assert connection(PSK + "aggressive = yes\naggressive_psk = yes", version).aggressive
    assert connection("aggressive = yes\nlocal { auth = pubkey }\nremote { auth = pubkey }", version).aggressive


@pytest.mark.parametrize("key", ["life_bytes = 1m", "dhcp = yes"])
@pytest.mark.parametrize("version", [0, 2])
def test_what_ikev2_would_go_without_needs_version_1(key: str, version: int) -> None:
    option = key.split()[0]
    assert refusals(CHILD + key, version) == [f"{option}: is built for IKEv1 only; set version = 1, or leave it out"]


@pytest.mark.parametrize("key", ["aggressive = yes", "pull = no", "dpd_timeout = 1m"])
def test_what_tunes_ikev1_may_stand_where_it_may_be_spoken(key: str) -> None:
    option = key.split()[0]
    assert refusals(key, 2) == [f"{option}: is for IKEv1, and version = 2 is IKEv2 alone; leave it out"]
    assert not refusals(f"dpd_delay = 10s\n{key}", 0)
    assert not refusals("aggressive = no\npull = yes\ndpd_timeout = 0", 2)


@pytest.mark.parametrize(
    "key",
    [
        "ocsp = request",
        "ocsp = both",
        "cert_uris = http://certs.example.org/",
        "childless = force",
        "childless = prefer",
        "follow_redirects = yes",
        "redirect_to = gw-b.example.org",
        "window = 4",
        "message_id_sync = yes",
        "qcd = yes",
        "resumption = yes",
        "ppk_id = quantum",
        "ppk_required = yes",
    ],
)
def test_what_ikev1_would_go_without_is_refused_where_nothing_else_is_spoken(key: str) -> None:
    option = key.split()[0]
    assert refusals(key, 1) == [f"{option}: is for IKEv2, and version = 1 is IKEv1 alone; leave it out"]
    assert not refusals(f"ppk_id = quantum\n{key}" if option == "ppk_required" else key, 2)


def test_what_ikev1_does_anyway_may_be_said() -> None:
    said = "ocsp = reply\nchildless = allow\nmobike = yes\nqcd = no\nwindow = 1\nresumption = no\nfollow_redirects = no"
    assert not refusals(said)
    assert not refusals("ocsp = never\nchildless = never\nmobike = no")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            "vips = 0.0.0.0, 10.0.0.1",
            "vips: IKEv1 asks for at most one IPv4 and one IPv6 address; leave out the others, or set version = 2",
        ),
        ("dpd_timeout = 1m", "dpd_timeout: nobody asks whether the peer lives; set dpd_delay as well"),
        (
            "dpd_delay = 30s\ndpd_timeout = 30s",
            "dpd_timeout: the peer is first asked after 30s; set more than dpd_delay",
        ),
        ("vips = here", "vips: 'here' is not an address"),
        (
            "dns_domains = %none, example.org",
            "dns_domains: %none stands alone; leave out it or the other words",
        ),
        (
            "dhcp = yes\ndns_domains = %none\nchildren { net { } }",
            "dns_domains: is for what a gateway tells itself, and DHCP takes name servers of others; "
            "leave out dhcp or dns_domains",
        ),
        ("dns_domains = .", "dns_domains: '.' is no domain"),
        (
            "proposals = aes256gcm16-prfsha256-modp2048, aes256-sha256-mlkem768",
            "proposals: IKEv1 has no numbers for these algorithms; set others, such as aes256-sha256-modp2048, or "
            "version = 2",
        ),
        ("pools = gone", "pools: there is no pool 'gone'"),
        (
            CHILD + "dhcp = yes\ndhcp_server = 10.0.0.1",
            "dhcp: is for the client, dhcp_server for the gateway; keep the one that this host is",
        ),
        (
            CHILD + "dhcp = yes\nvips = 0.0.0.0",
            "dhcp: the inner address comes by DHCP or by mode config; leave out dhcp or vips",
        ),
        ("dhcp = yes", "dhcp: DHCP goes by the proposals of the first child; write a child"),
        ("dhcp_giaddr = 10.0.0.1", "dhcp_giaddr: belongs to the gateway; set dhcp_server as well"),
        ("dhcp_server = ::1", "dhcp_server: '::1' is not an IPv4 address; DHCP over IPsec knows no other"),
    ],
)
def test_options_that_do_not_go_together(options: str, error: str) -> None:
    assert refusals(PSK + options) == [error]


def test_dhcp_over_ipsec() -> None:
    assert connection(PSK).dhcp is None
    assert connection(PSK + CHILD + "dhcp = yes").dhcp == Dhcp(client=True)
    relay = connection(PSK + CHILD + "dhcp_server = 10.0.0.5\ndhcp_giaddr = 10.0.0.1\ndhcp_interface = eth1").dhcp
    assert relay == Dhcp(False, bytes((10, 0, 0, 5)), bytes((10, 0, 0, 1)), "eth1")


# -- children ---------------------------------------------------------------


def child(options: str) -> str:
    return PSK + f"children {{ net {{ {options}\n}} }}"


def test_a_bundle_is_ah_around_esp() -> None:
    found = connection(child("esp_proposals = aes128-sha1\nah_proposals = sha256\nbundle = yes\nipcomp = yes"))
    assert found.children[0].bundle and found.children[0].ipcomp


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("bundle = yes", "bundle: is AH around ESP; set both ah_proposals and esp_proposals"),
        (
            "local_ts = " + ", ".join(f"10.{n}.0.0/16" for n in range(65)),
            "local_ts: IKEv1 takes a Quick Mode for each pair of networks, 64 at most",
        ),
        (
            "remote_ts = 10.0.0.0/8[tcp/80-90]",
            "remote_ts: 10.0.0.0/8[tcp/80-90]: IKEv1 names one port or all; write a child for each port",
        ),
        (
            "esp_proposals = chacha20poly1305",
            "esp_proposals: IKEv1 has no numbers for these algorithms; set others, without additional key exchanges "
            "and ChaCha20, or version = 2",
        ),
    ],
)
def test_children_that_ikev1_cannot_say(options: str, error: str) -> None:
    assert refusals(child(options)) == [f"children.net.{error}"]


def test_padding_is_ikev2s() -> None:
    why = "IKEv1 cannot agree on padding (RFC 4303 §2.7); set version = 2, or leave it out"
    assert refusals(child("tfc_padding = mtu"), 1) == [f"children.net.tfc_padding: {why}"]


@pytest.mark.parametrize("key", ["bundle"])
def test_bundles_are_ikev1s(key: str) -> None:
    options = child(f"{key} = yes\nah_proposals = sha256\nesp_proposals = aes128-sha256")
    why = "is built for IKEv1 only; set version = 1 in the connection, or leave it out"
    assert refusals(options, 0) == [f"children.net.{key}: {why}"]


# -- passwords --------------------------------------------------------------


def test_passwords_of_users() -> None:
    loaded = load_text("secrets { xauth-carol { id-1 = carol\nid-2 = carol@example.org\nsecret = squeamish } }").loaded
    (secret,) = loaded.secrets
    assert secret.kind is SecretKind.USER
    assert [str(owner) for owner in secret.owners] == ["carol", "carol@example.org"]
    assert secret.data == b"squeamish"


def test_a_password_goes_to_the_daemon_as_what_it_is() -> None:
    configuration = load_text("secrets { eap-carol { id = carol\nsecret = squeamish } }")
    (request,) = configuration.requests
    assert request.command == "load-shared"
    assert {**request.message, "data": b""} == {"id": b"eap-carol", "type": b"eap", "data": b"", "owners": [b"carol"]}
    assert (secret_from_vici(request.message),) == configuration.loaded.secrets
    assert "squeamish" not in repr(configuration)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("", "secrets.xauth: a password needs the name of its user; set id"),
        (
            "id = *.example.org",
            "secrets.xauth: '*.example.org' is a pattern, and a password needs the name of its user",
        ),
        ("id = %any", "secrets.xauth: '%any' is a pattern, and a password needs the name of its user"),
    ],
)
def test_a_password_is_for_named_users(options: str, error: str) -> None:
    assert mistakes(f"secrets {{ xauth {{ secret = squeamish\n{options} }} }}") == [f"swanctl.conf:1: {error}"]
    with pytest.raises(ConfigErrors, match="needs the name of its user"):
        owners = [options[5:].encode()] if options else []
        secret_from_vici({"type": b"XAUTH", "data": b"squeamish", "owners": owners})


# -- vici -------------------------------------------------------------------


def test_what_goes_to_the_daemon_builds_the_same() -> None:
    text = f"""connections {{ gw {{ version = 1\n{PSK}remote-2 {{ auth = xauth }}\npools = a, b\n }} }}
    pools {{ a {{ addrs = 10.1.0.0/24\ndns = 10.0.0.1 }}\nb {{ addrs = 10.2.0.0/24 }} }}"""
    configuration = load_text(text)
    assert [request.command for request in configuration.requests] == ["load-pool", "load-pool", "load-conn"]
    tree = configuration.requests[-1].message["gw"]
    assert tree["pools"] == [b"a", b"b"]
    assert connection_from_vici("gw", tree) == configuration.loaded.connections[0]


# -- the page ---------------------------------------------------------------


def test_the_examples_of_the_page_are_configurations(pki: Pki) -> None:
    examples = [
        block for block in reference.markdown().split("```")[1::2] if block.lstrip().startswith("connections {")
    ]
    assert len(examples) == 2
    for example in examples:
        assert not mistakes(example, **{"x509__gw.pem": pki.gw_pem, "x509__carol.pem": pki.ca_pem})


# -- anything at all --------------------------------------------------------

AUTHS = st.sampled_from(
    [b"psk", b"pubkey", b"xauth", b"xauth-pam", b"rsa-encryption", b"rsa", b"ecdsa", b"nonsense", b""]
)
WORDS = st.sampled_from([b"yes", b"no", b"1", b"0.0.0.0", b"10.0.0.1", b"1h", b"force", b"x", b"", b"\xff"])
SIDES = st.dictionaries(
    st.sampled_from(["local", "local-2", "remote", "remote-2", "remote-3"]),
    st.fixed_dictionaries({}, optional={"auth": AUTHS, "round": WORDS, "xauth_id": WORDS, "id": WORDS}),
)
OPTIONS = st.dictionaries(st.sampled_from([option.key for option in CONNECTION.options]), WORDS, max_size=5)
CHILDREN = st.dictionaries(st.sampled_from([option.key for option in schema.CHILD.options]), WORDS, max_size=3)


@given(st.sampled_from([b"0", b"1", b"2", b"3"]), SIDES, OPTIONS, CHILDREN)
def test_any_message_is_a_connection_or_mistakes(
    version: bytes, sides: dict[str, dict[str, bytes]], options: dict[str, bytes], child: dict[str, bytes]
) -> None:
    tree: ViciTree = {**options, "version": version, **sides, "children": {"net": child}}
    try:
        found = connection_from_vici("gw", tree)
    except ConfigErrors as errors:
        assert errors.errors
        return
    if any(side.auth.kind is AuthKind.XAUTH for side in (*found.local, *found.remote)):
        assert found.version == 1, "IKEv2 would let in without the password"
    if found.aggressive and AuthKind.PSK in (found.local[0].auth.kind, found.remote[0].auth.kind):
        assert found.aggressive_psk
    assert 0 <= found.rand_time <= max(found.isakmp_time, found.rekey_time)
