from dataclasses import fields
from pathlib import Path

from ikectl.config import reference
from ikectl.config.model import Child, Connection
from ikectl.config.read import check
from ikectl.config.schema import (
    AUTHORITY,
    CERT,
    CHILD,
    CONNECTION,
    LOCAL,
    NUMBER,
    POOL,
    REMOTE,
    ROOT,
    SECRETS,
    Group,
    Option,
)
from ikectl.config.tree import Errors, Section, Value

# The vocabulary of swanctl.conf in strongSwan 6.0.6, from its manual page.
SWANCTL = {
    "connection": """version local_addrs remote_addrs local_port remote_port proposals vips aggressive pull dscp encap
        mobike dpd_delay dpd_timeout fragmentation childless send_certreq send_cert ocsp ppk_id ppk_required
        keyingtries unique reauth_time rekey_time over_time rand_time pools if_id_in if_id_out mediation mediated_by
        mediation_peer""",
    "local": "round certs pubkeys auth id eap_id aaa_id xauth_id",
    "remote": "round id eap_id groups cert_policy certs cacerts ca_id pubkeys revocation auth",
    "cert": "file handle slot module",
    "child": """ah_proposals esp_proposals sha256_96 local_ts remote_ts rekey_time life_time rand_time rekey_bytes
        life_bytes rand_bytes rekey_packets life_packets rand_packets updown hostaccess mode policies
        policies_fwd_out dpd_action ipcomp inactivity reqid priority interface mark_in mark_out mark_in_sa set_mark_in
        set_mark_out if_id_in if_id_out label label_mode tfc_padding replay_window per_cpu_sas hw_offload copy_df
        copy_ecn copy_dscp icmp start_action close_action""",
    "authority": "cacert file handle slot module crl_uris ocsp_uris cert_uri_base",
    "pool": "addrs dns nbns dhcp netmask server subnet p_cscf split_include split_exclude",
    "secrets": "ike eap xauth ntlm ppk private rsa ecdsa pkcs8 pkcs12 token",
}

OWN = {
    "connection": """aggressive_psk life_bytes follow_redirects redirect_to qcd resumption window tcp message_id_sync
        remote_tcp_port cert_uris dhcp dhcp_server dhcp_giaddr dhcp_interface ppk_intermediate dns_domains""",
    "remote": "rdn_matching",
    "child": "bundle",
    "pool": """split_dns dnssec_ta encrypted_dns liveness default_domain banner save_password pfs backup_servers
        address_expiry""",
}


def test_every_swanctl_option_has_its_row() -> None:
    groups = {"connection": CONNECTION, "local": LOCAL, "remote": REMOTE, "cert": CERT, "child": CHILD}
    for name, group in {**groups, "authority": AUTHORITY, "pool": POOL}.items():
        words = {option.key for option in group.options if not option.own} - {NUMBER}
        assert words == set(SWANCTL[name].split()), name
        assert {option.key for option in group.options if option.own} == set(OWN.get(name, "").split()), name
    assert {name.rstrip("*") for name, _ in SECRETS.groups} == set(SWANCTL["secrets"].split())
    assert set(ROOT.names) == {"connections", "secrets", "authorities", "pools"}


def test_built_options_are_attributes_of_the_model() -> None:
    def built(group: Group) -> set[str]:
        return {option.key for option in group.options if option.only is None}

    def derived(model: type[Child | Connection]) -> set[str]:
        return {each.name for each in fields(model) if not each.init}

    # Three words about one thing are one value.
    connection = built(CONNECTION) - {"dhcp_server", "dhcp_giaddr", "dhcp_interface"}
    assert connection < set(Connection.__slots__)
    assert built(CHILD) < set(Child.__slots__)
    assert set(Child.__slots__) - built(CHILD) - derived(Child) == {"name"}
    assert set(Connection.__slots__) - connection - derived(Connection) == {"name", "local", "remote", "children"}


def every_option() -> list[tuple[Group, Option]]:
    found: list[tuple[Group, Option]] = []

    def walk(group: Group) -> None:
        found.extend((group, option) for option in group.options)
        for _, child in group.groups:
            walk(child)

    walk(ROOT)
    return found


def test_defaults_and_accepted_values_are_readable() -> None:
    for group, option in every_option():
        if option.preset:
            option.kind.read(option.preset.encode())
        for text in option.only or ():
            errors = Errors()
            check(Section("s", values={option.key: Value(text.encode())}), group, "s", errors)
            assert not errors.found, option.key


def test_what_is_not_built_is_refused_by_name() -> None:
    for group, option in every_option():
        if option.only is None:
            continue
        errors = Errors()
        check(Section("s", values={option.key: Value(b"7")}), group, "s", errors)
        (error,) = errors.found
        advice = f"set it to {option.only[0]} or leave it out" if option.only else "leave it out"
        assert error.why == f"s.{option.key}: not built yet; {advice}"


def test_the_page_is_made_from_the_schema() -> None:
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert page.read_text() == reference.markdown(), "run: python -m ikectl.config.reference > docs/configuration.md"
