import pytest

from ikectl.config.auth import read_auth
from ikectl.config.model import Auth, AuthKind, Inner, KeyConstraint
from ikectl.iana.eap import EapType
from ikectl.iana.v2 import HashAlgorithm

SHA256, SHA384, SHA512 = HashAlgorithm.SHA2_256, HashAlgorithm.SHA2_384, HashAlgorithm.SHA2_512


@pytest.mark.parametrize(
    ("text", "constraints"),
    [
        ("pubkey", ()),
        ("rsa", (KeyConstraint("rsa"),)),
        ("ed25519", (KeyConstraint("ed25519"),)),
        ("pubkey-sha256-sha512", (KeyConstraint("", 0, False, (SHA256, SHA512)),)),
        ("rsa-2048-ecdsa-256", (KeyConstraint("rsa", 2048), KeyConstraint("ecdsa", 256))),
        (
            "rsa-3072-ecdsa-256-sha256",
            (KeyConstraint("rsa", 3072, False, (SHA256,)), KeyConstraint("ecdsa", 256, False, (SHA256,))),
        ),
        (
            "rsa-2048-sha256-ecdsa-256-sha256-sha384",
            (KeyConstraint("rsa", 2048, False, (SHA256,)), KeyConstraint("ecdsa", 256, False, (SHA256, SHA384))),
        ),
        ("rsa/pss-sha256", (KeyConstraint("rsa", 0, True, (SHA256,)),)),
    ],
)
def test_constraints_hold_for_certificates_and_for_ike(text: str, constraints: tuple[KeyConstraint, ...]) -> None:
    assert read_auth(text) == Auth(AuthKind.PUBKEY, constraints, constraints)


def test_ike_constraints_are_apart() -> None:
    pss = (KeyConstraint("rsa", 0, True, (SHA256,)),)
    assert read_auth("ike:rsa/pss-sha256") == Auth(AuthKind.PUBKEY, pss, ())
    assert read_auth("rsa-2048-ike:rsa/pss-sha256") == Auth(AuthKind.PUBKEY, pss, (KeyConstraint("rsa", 2048),))


def test_psk_has_no_constraints() -> None:
    assert read_auth("psk") == Auth(AuthKind.PSK)


@pytest.mark.parametrize("text", ["any"])
def test_other_methods_are_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is not built yet"):
        read_auth(text)


@pytest.mark.parametrize(
    "text", ["", "pubkye", "sha256", "rsa-", "rsa-2048-1024", "rsa-sha256-2048", "rsa-999999", "psk-sha256", "ike:"]
)
def test_what_is_no_method_is_refused(text: str) -> None:
    if text == "":
        assert read_auth(text) == Auth()
    else:
        with pytest.raises(ValueError):
            read_auth(text)


def test_a_slip_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match="did you mean 'pubkey'"):
        read_auth("pubkye")


EVERY = (EapType.TLS, EapType.TTLS, EapType.PEAP, EapType.MSCHAPV2, EapType.MD5, EapType.GTC)


@pytest.mark.parametrize(
    ("text", "methods", "inner"),
    [
        ("eap", EVERY, Inner.ANY),
        ("eap-dynamic", EVERY, Inner.ANY),
        ("eap-mschapv2", (EapType.MSCHAPV2,), Inner.ANY),
        ("eap-md5", (EapType.MD5,), Inner.ANY),
        ("eap-gtc", (EapType.GTC,), Inner.ANY),
        ("eap-tls", (EapType.TLS,), Inner.ANY),
        ("eap-peap", (EapType.PEAP,), Inner.ANY),
        ("eap-ttls", (EapType.TTLS,), Inner.ANY),
        ("eap-ttls-pap", (EapType.TTLS,), Inner.PAP),
        ("eap-ttls-mschapv2", (EapType.TTLS,), Inner.MSCHAPV2),
    ],
)
def test_methods_of_eap(text: str, methods: tuple[EapType, ...], inner: Inner) -> None:
    assert read_auth(text) == Auth(AuthKind.EAP, eap=methods, inner=inner)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("eap-radius", "no connector to RADIUS; name a method, such as eap-mschapv2"),
        ("eap-aka", "needs a RADIUS server"),
        ("eap-sim", "needs a RADIUS server"),
        ("eap-mschap", "did you mean 'eap-mschapv2'"),
        ("eap-", "is not eap, eap-tls"),
        ("eap tls", "is not eap, eap-tls"),
    ],
)
def test_eap_that_is_not_there_is_refused_with_the_next_step(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_auth(text)
