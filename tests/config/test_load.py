"""Whole directories: the folders beside swanctl.conf, real-world files, and what goes over vici."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PublicFormat,
    pkcs12,
)

from ikectl.config.build import (
    authority_from_vici,
    certificate_from_vici,
    connection_from_vici,
    key_from_vici,
    secret_from_vici,
)
from ikectl.config.load import load, load_file, to_vici
from ikectl.config.model import Action, Crl, Loaded, Mode
from ikectl.errors import ConfigErrors
from ikectl.values.secret import Secret
from tests.config.conftest import Pki
from tests.config.trees import files_of, load_text, mistakes
from tests.pki.certs import Authority, Identified, Listed, key

SITE = """
# A site-to-site gateway as one finds it in the field.
connections {
    site-b : site-defaults {
        local_addrs  = 192.168.0.1
        remote_addrs = b.example.org
        local {
            auth = pubkey
            certs = gw.pem
        }
        remote {
            auth = pubkey
            id = "C=CH, CN=b"
            cacerts = ca.pem
        }
        children {
            net-net : child-defaults {
                local_ts  = 10.1.0.0/16,10.2.0.0/16
                remote_ts = 10.3.0.0/16[tcp/443]
            }
            mgmt : child-defaults { mode = transport }
        }
    }
    road {
        pull = yes
        local-psk { auth = psk
                    id = gw.example.org }
        remote-psk { auth = psk
                     id = *@example.org }
    }
}
site-defaults {
    version = 2
    proposals = aes128gcm16-prfsha256-ecp256,default
    mobike = no
}
child-defaults {
    esp_proposals = aes128gcm16-ecp256
    dpd_action = restart
    start_action = start
}
secrets {
    ike-road {
        id-gw = gw.example.org
        id-all = %any
        secret = 0sc3F1ZWFtaXNo
    }
    ike-key { id = keyid:moon
              secret = 0x0102 }
    private-gw { file = gw.key
                 secret = squeamish }
}
authorities {
    ca { cacert = ca.pem }
}
include conf.d/*.conf
"""


def tree(pki: Pki, text: str = SITE, **others: bytes | str) -> dict[str, bytes | str]:
    return {
        "/etc/swanctl/swanctl.conf": text,
        "/etc/swanctl/x509/gw.pem": pki.gw_pem,
        "/etc/swanctl/x509ca/ca.pem": pki.ca_pem,
        "/etc/swanctl/x509ca/.keep": "",
        "/etc/swanctl/private/gw.key": pki.ec_encrypted,
        "/etc/swanctl/private/ed.pem": pki.ed_pem,
        "/etc/swanctl/rsa/r.pem": pki.rsa_traditional,
        "/etc/swanctl/pkcs8/p.der": pki.ec_der,
        **{path.replace("__", "/"): content for path, content in others.items()},
    }


def site(pki: Pki) -> tuple[Loaded, list[tuple[str, dict[str, Any]]]]:
    files = files_of(tree(pki))
    path = "/etc/swanctl/swanctl.conf"
    return load_file(path, files), to_vici(path, files)


def test_a_directory_loads_whole(pki: Pki) -> None:
    loaded, _ = site(pki)
    site_b, road = loaded.connections
    assert (site_b.name, site_b.version) == ("site-b", 2)
    assert site_b.local[0].certs == (pki.gw_der,)
    assert str(site_b.local[0].id) == "C=CH, CN=gw"
    assert site_b.remote[0].cacerts == (pki.ca_der,)
    assert [child.name for child in site_b.children] == ["net-net", "mgmt"]
    assert [str(spec) for spec in site_b.children[0].local_ts] == ["10.1.0.0/16", "10.2.0.0/16"]
    assert all(child.start_action == child.dpd_action == Action.START for child in site_b.children)
    assert site_b.children[1].mode == Mode.TRANSPORT
    assert (road.local[0].name, road.remote[0].name) == ("local-psk", "remote-psk")
    assert [certificate.ca for certificate in loaded.certs] == [False, True]
    assert [key.kind for key in loaded.keys] == ["ed25519", "ecdsa", "rsa", "ecdsa"]
    assert loaded.keys[1].data == pki.ec_der
    assert [secret.name for secret in loaded.secrets] == ["ike-road", "ike-key"]
    assert [str(owner) for owner in loaded.secrets[0].owners] == ["gw.example.org", "%any"]
    assert [secret.data for secret in loaded.secrets] == [Secret(b"squeamish"), Secret(b"\1\2")]
    assert loaded.authorities[0].cacert == pki.ca_der


def test_the_requests_are_in_swanctls_order(pki: Pki) -> None:
    _, requests = site(pki)
    assert [command for command, _ in requests] == [
        *["load-cert"] * 2,
        *["load-key"] * 4,
        *["load-shared"] * 2,
        "load-authority",
        *["load-conn"] * 2,
    ]


def test_a_connection_is_sent_as_vici_has_it(pki: Pki) -> None:
    _, requests = site(pki)
    assert requests[-2][1] == {
        "site-b": {
            "local_addrs": [b"192.168.0.1"],
            "remote_addrs": [b"b.example.org"],
            "version": b"2",
            "proposals": [b"aes128gcm16-prfsha256-ecp256", b"default"],
            "mobike": b"no",
            "local": {"auth": b"pubkey", "certs": [pki.gw_der]},
            "remote": {"auth": b"pubkey", "id": b"C=CH, CN=b", "cacerts": [pki.ca_der]},
            "children": {
                "net-net": {
                    "local_ts": [b"10.1.0.0/16", b"10.2.0.0/16"],
                    "remote_ts": [b"10.3.0.0/16[tcp/443]"],
                    "esp_proposals": [b"aes128gcm16-ecp256"],
                    "dpd_action": b"restart",
                    "start_action": b"start",
                },
                "mgmt": {
                    "mode": b"transport",
                    "esp_proposals": [b"aes128gcm16-ecp256"],
                    "dpd_action": b"restart",
                    "start_action": b"start",
                },
            },
        }
    }


def test_a_daemon_builds_from_the_requests_what_the_file_says(pki: Pki) -> None:
    loaded, requests = site(pki)

    def sent(command: str) -> list[dict[str, Any]]:
        return [message for name, message in requests if name == command]

    def named(command: str) -> list[tuple[str, Any]]:
        return [next(iter(message.items())) for message in sent(command)]

    assert loaded == Loaded(
        connections=tuple(connection_from_vici(name, body) for name, body in named("load-conn")),
        secrets=tuple(map(secret_from_vici, sent("load-shared"))),
        authorities=tuple(authority_from_vici(name, body) for name, body in named("load-authority")),
        certs=tuple(map(certificate_from_vici, sent("load-cert"))),
        keys=tuple(map(key_from_vici, sent("load-key"))),
    )


def test_secrets_do_not_print(pki: Pki) -> None:
    configuration = load("/etc/swanctl/swanctl.conf", files_of(tree(pki)))
    text = repr(configuration)
    assert "squeamish" not in text
    assert "c3F1ZWFtaXNo" not in text
    assert pki.ec_der.hex() not in text
    assert repr(pki.ec_der)[2:-1] not in text


def test_toml_says_the_same(pki: Pki) -> None:
    toml = """
        [connections.site-b]
        version = 2
        local_addrs = ["192.168.0.1"]
        local.certs = "gw.pem"
        remote = { id = "C=CH, CN=b", cacerts = ["ca.pem"] }
        children.net = { local_ts = ["10.1.0.0/16"], encap = true }
        [secrets.ike-1]
        secret = "x"
        """
    conf = """
        connections { site-b {
          version = 2
          local_addrs = 192.168.0.1
          local { certs = gw.pem }
          remote { id = "C=CH, CN=b"
                   cacerts = ca.pem }
          children { net { local_ts = 10.1.0.0/16
                           policies = yes } }
        } }
        secrets { ike-1 { secret = x } }
        """
    folders = {"x509__gw.pem": pki.gw_pem, "x509ca__ca.pem": pki.ca_pem}
    assert mistakes(toml, "swanctl.toml", **folders) == [
        "swanctl.toml:7: site-b.children.net: unknown option 'encap'",
    ]
    toml = toml.replace("encap", "policies")
    assert load_text(toml, "swanctl.toml", **folders).loaded == load_text(conf, **folders).loaded


def test_all_mistakes_of_all_files_come_at_once(pki: Pki) -> None:
    text = """\
connections {
  gw {
    mediation = yes
    rekey_tiem = 4h
    local { auth = psk
            certs = missing.pem }
    children { net { local_ts = 10.0.0.0/33
                     start_action = trip } }
  }
}
secrets {
  ike-1 { secret = 0sxx }
  ike-2 { id = moon }
  ntlm-carol { id = carol
               secret = squeamish }
  private-x { file = gone.key
              secret = squeamish }
  idk { secret = squeamish }
}
pools { p { addrs = 10.0.0.0/33 } }
conection { }
secrets.ike = squeamish
include conf.d/*.conf
"""
    others: dict[str, bytes | str] = {
        "conf.d__a.conf": "connections { other { version = 3 } }\nauthorities { ca { crl_uris = ldap://x } }",
        "x509__bad.pem": "junk",
        "x509crl__ca.crl": b"crl",
        "private__locked.key": pki.ec_encrypted,
        "rsa__wrong.pem": pki.ec_pem,
    }
    assert mistakes(text, **others) == [
        "x509/bad.pem: not a certificate in PEM or DER",
        "x509crl/ca.crl: not a CRL in PEM or DER",
        "private/locked.key: the key is encrypted; add secrets { private-1 { file = locked.key secret = ... } }",
        "rsa/wrong.pem: a key of type ecdsa in rsa/; move it to private/",
        "conf.d/a.conf:1: other.version: 3 is not one of 0, 1 and 2",
        "conf.d/a.conf:2: authorities.ca.crl_uris: ldap is not spoken here; have the CA publish its CRL by "
        "HTTP, or put it into x509crl/",
        "swanctl.conf:3: gw.mediation: not built yet; set it to no or leave it out",
        "swanctl.conf:4: gw: unknown option 'rekey_tiem'; did you mean 'rekey_time'?",
        "swanctl.conf:6: gw.local.certs: cannot read x509/missing.pem: No such file or directory",
        "swanctl.conf:7: gw.children.net.local_ts: '10.0.0.0/33' is not a network, a range of addresses or the word "
        "dynamic",
        "swanctl.conf:8: gw.children.net.start_action: 'trip' is not one of none, clear, start, restart, trap, "
        "trap|start and start|trap; did you mean 'trap'?",
        "swanctl.conf:12: secrets.ike-1.secret: the digits after 0x or 0s are not valid",
        "swanctl.conf:13: secrets.ike-2: set secret",
        "swanctl.conf:15: secrets.ntlm-carol.secret: an NT hash is 16 octets, written as 0x and hex or 0s and Base64",
        "swanctl.conf:16: there is no file 'gone.key' in private/",
        "swanctl.conf:18: unknown secret 'idk'; did you mean 'ike'?",
        "swanctl.conf:20: pools.p.addrs: '10.0.0.0/33' is neither a network nor a range of addresses",
        "swanctl.conf:21: unknown section 'conection'; did you mean 'connections'?",
        "swanctl.conf:22: unknown option 'secrets.ike' outside every section; did you mean 'secrets'?",
    ]


def test_sections_to_refer_to_may_have_any_name() -> None:
    assert not mistakes("connections { a : connection { } }\nconnection { version = 2 }\nunused { x = 1 }")


def test_a_wrong_passphrase_is_said_without_it(pki: Pki) -> None:
    assert mistakes("secrets { private { file = k\nsecret = ossifrage } }", private__k=pki.ec_encrypted) == [
        "private/k: not a private key this passphrase opens"
    ]


def test_a_needless_passphrase_does_not_matter(pki: Pki) -> None:
    text = "secrets { private { file = k\nsecret = ossifrage } }"
    assert load_text(text, private__k=pki.ec_pem).loaded.keys[0].kind == "ecdsa"


def test_a_bundle_is_all_its_certificates(pki: Pki) -> None:
    bundle = pki.gw_pem + b"some text\n" + pki.ca_pem
    folder = load_text("", x509ca__bundle=bundle).loaded.certs
    assert [(certificate.data, certificate.ca) for certificate in folder] == [(pki.gw_der, True), (pki.ca_der, True)]
    named = load("/etc/swanctl.conf", files_of({"/etc/swanctl.conf": SITE, "/etc/x509/gw.pem": bundle} | _rest(pki)))
    assert named.loaded.connections[0].local[0].certs == (pki.gw_der,)
    assert pki.ca_der in [certificate.data for certificate in named.loaded.certs if not certificate.ca]


def _rest(pki: Pki) -> dict[str, bytes | str]:
    return {"/etc/x509ca/ca.pem": pki.ca_pem, "/etc/private/gw.key": pki.ec_encrypted}


def test_a_certificate_by_absolute_path_is_put_in(pki: Pki) -> None:
    text = "connections { gw { local { cert-a { file = /srv/gw.pem } } } }"
    files = files_of({"/etc/swanctl.conf": text, "/srv/gw.pem": pki.gw_pem})
    requests = to_vici("/etc/swanctl.conf", files)
    assert requests == [("load-conn", {"gw": {"local": {"certs": [pki.gw_der]}}})]
    assert load_file("/etc/swanctl.conf", files).connections[0].local[0].certs == (pki.gw_der,)


def test_a_missing_file_is_one_mistake() -> None:
    with pytest.raises(ConfigErrors) as caught:
        load("/etc/swanctl.conf", files_of({}))
    assert str(caught.value) == "/etc/swanctl.conf: cannot read /etc/swanctl.conf: No such file or directory"


# -- containers ---------------------------------------------------------------------------


def container(passphrase: bytes | None) -> tuple[bytes, Authority, Identified]:
    """PKCS#12 with a host's key and certificate and its CA's."""
    ca = Authority.root("packed")
    leaf = ca.leaf("moon")
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    packed = pkcs12.serialize_key_and_certificates(b"moon", leaf.key, leaf.certificate, [ca.certificate], encryption)
    return packed, ca, leaf


@pytest.mark.parametrize("passphrase", [b"squeamish", None])
def test_a_container_holds_key_and_certificates(passphrase: bytes | None) -> None:
    packed, ca, leaf = container(passphrase)
    text = "secrets { pkcs12-moon { file = moon.p12\n secret = squeamish } }" if passphrase else ""
    loaded = load_text(text, **{"pkcs12__moon.p12": packed})
    assert [(each.data, each.ca) for each in loaded.loaded.certs] == [(leaf.der, False), (ca.der, True)]
    assert [key.kind for key in loaded.loaded.keys] == ["ecdsa"]
    assert [(request.command, request.message["type"]) for request in loaded.requests] == [
        ("load-cert", b"X509"),
        ("load-cert", b"X509"),
        ("load-key", b"ecdsa"),
    ]


def test_a_container_that_does_not_open() -> None:
    packed, _, _ = container(b"squeamish")
    wrong = "secrets { pkcs12-moon { file = moon.p12\n secret = sesame } }"
    for text, octets, error in (
        ("", packed, "the key is encrypted; add secrets { pkcs12-1 { file = moon.p12 secret = ... } }"),
        (wrong, packed, "not a PKCS#12 container this passphrase opens"),
        ("", b"junk", "not a PKCS#12 container"),
    ):
        assert mistakes(text, **{"pkcs12__moon.p12": octets}) == [f"pkcs12/moon.p12: {error}"]


def test_crls_and_ocsp_signers_of_the_folders() -> None:
    ca = Authority.root("issuer")
    crl, signer = ca.crl(), ca.leaf("signer")
    made = load_text("", **{"x509crl__ca.crl": crl, "x509ocsp__signer.pem": signer.pem})
    (listed,) = made.loaded.crls
    assert (listed.data, listed.origin) == (crl, "/etc/x509crl/ca.crl")
    assert [(each.data, each.ca, each.ocsp) for each in made.loaded.certs] == [(signer.der, False, True)]
    assert [certificate_from_vici(request.message) for request in made.requests] == [
        *made.loaded.certs,
        Crl(crl, "a client"),
    ]
    big = ca.crl(*(Listed(ca.leaf(f"leaf {number}")) for number in range(2)))
    assert mistakes("", **{"x509crl__ca.crl": big + bytes(5)}) == ["x509crl/ca.crl: not a CRL in PEM or DER"]


def test_uris_of_an_authority_are_sent_along(pki: Pki) -> None:
    text = """authorities { ca { cacert = ca.pem\n crl_uris = http://a/b, file:///c\n ocsp_uris = https://d
        cert_uri_base = http://e/f/ } }"""
    made = load_text(text, **{"x509ca__ca.pem": pki.ca_pem})
    (authority,) = made.loaded.authorities
    assert (authority.crl_uris, authority.ocsp_uris) == (("http://a/b", "file:///c"), ("https://d",))
    assert authority.cert_uri_base == "http://e/f/"
    message = made.requests[-1].message["ca"]
    assert authority_from_vici("ca", message) == authority


@pytest.mark.parametrize("base", ["http://e", "http://e/f", "http://e@f/", "http://e/../", "file:///e/", "e/"])
def test_where_certificates_are_published_ends_with_a_slash(base: str, pki: Pki) -> None:
    text = f"authorities {{ ca {{ cacert = ca.pem\n cert_uri_base = {base} }} }}"
    (mistake,) = mistakes(text, **{"x509ca__ca.pem": pki.ca_pem})
    assert "authorities.ca.cert_uri_base: " in mistake


# -- raw public keys ------------------------------------------------------------------------

RAW = """connections { gw { version = 2
  local { id = moon
          pubkeys = moon.pem }
  remote { id = sun
           pubkeys = sun.der } } }
"""


def raw_keys() -> tuple[bytes, bytes, dict[str, bytes]]:
    """Two keys as SubjectPublicKeyInfo (DER), and the files they are in: PEM, and PKCS#1."""
    moon, sun = key("ecdsa-256", "raw").public_key(), key("rsa-2048", "raw").public_key()
    form = PublicFormat.SubjectPublicKeyInfo
    files = {
        "pubkey__moon.pem": moon.public_bytes(Encoding.PEM, form),
        "pubkey__sun.der": sun.public_bytes(Encoding.DER, PublicFormat.PKCS1),
    }
    return moon.public_bytes(Encoding.DER, form), sun.public_bytes(Encoding.DER, form), files


def test_raw_public_keys_are_files_of_their_folder() -> None:
    moon, sun, files = raw_keys()
    made = load_text(RAW, **files)
    (connection,) = made.loaded.connections
    assert connection.local[0].pubkeys == (moon,) and connection.remote[0].pubkeys == (sun,)
    assert not connection.speaks(1)
    (request,) = made.requests
    assert connection_from_vici("gw", request.message["gw"]) == connection


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("version = 2", "version = 1", "gw.remote.pubkeys: raw public keys are for IKEv2; set version = 2"),
        ("{ id = sun", "{ auth = psk\nid = sun", "gw.remote.pubkeys: no public key is looked at with auth = psk"),
        ("id = sun\n           pubkeys = sun.der", "pubkeys = sun.der, moon.pem", "gw.remote.pubkeys: each of these"),
        ("sun.der", "gw.pem", "gw.remote.pubkeys: not a public key in PEM or DER"),
        ("sun.der", "none.pem", "gw.remote.pubkeys: cannot read pubkey/none.pem: No such file or directory"),
        ("sun.der", ",".join(["moon.pem"] * 17), "gw.remote.pubkeys: at most 16 are tried"),
    ],
)
def test_mistakes_with_raw_public_keys(old: str, new: str, error: str, pki: Pki) -> None:
    *_, files = raw_keys()
    assert old in RAW
    found = mistakes(RAW.replace(old, new), **files, **{"pubkey__gw.pem": pki.gw_pem})
    assert any(error in line for line in found), found
