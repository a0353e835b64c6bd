"""Which authentication methods of phase 1 a connection stands for, and what they mean."""

from __future__ import annotations

import pytest

from ikectl.auth.methods_v1 import METHODS, End, Phase1Kind, meaning, offered
from ikectl.config.auth import read_auth
from ikectl.config.model import Connection, Local, Remote
from ikectl.errors import NoProposalChosen
from ikectl.iana.v1 import AuthMethod

M = AuthMethod
ECDSA = M.ECDSA_256, M.ECDSA_384, M.ECDSA_521
REVISED = "rsa-encryption-revised"


def connection(local: str, remote: str) -> Connection:
    """Rounds as their `auth` options, separated by blanks."""
    return Connection(
        "c",
        (),
        version=1,
        local=tuple(Local(auth=read_auth(text), xauth_id="joe") for text in local.split()),
        remote=tuple(Remote(auth=read_auth(text)) for text in remote.split()),
    )


TABLE = [
    # ours            the peer's                we begin                        the peer begins
    ("psk",           "psk",                    (M.PRE_SHARED_KEY,),            (M.PRE_SHARED_KEY,)),
    ("psk xauth",     "psk",                    (M.XAUTH_INIT_PRE_SHARED,),     (M.XAUTH_RESP_PRE_SHARED,)),
    ("psk",           "psk xauth-pam",          (M.XAUTH_RESP_PRE_SHARED,),     (M.XAUTH_INIT_PRE_SHARED,)),
    ("rsa",           "rsa",                    (M.RSA_SIGNATURE,),             (M.RSA_SIGNATURE,)),
    ("rsa",           "pubkey",                 (M.RSA_SIGNATURE,),             (M.RSA_SIGNATURE,)),
    ("ecdsa",         "pubkey",                 ECDSA, ECDSA),
    ("ecdsa-384",     "ecdsa",                  (M.ECDSA_384, M.ECDSA_521),     (M.ECDSA_384, M.ECDSA_521)),
    ("rsa",           "ecdsa",                  (),                             ()),
    ("ed25519",       "pubkey",                 (),                             ()),
    ("pubkey xauth",  "pubkey",                 (M.XAUTH_INIT_RSA,),            (M.XAUTH_RESP_RSA,)),
    ("pubkey",        "pubkey xauth",           (M.XAUTH_RESP_RSA,),            (M.XAUTH_INIT_RSA,)),
    ("xauth",         "pubkey",                 (M.HYBRID_INIT_RSA,),           (M.HYBRID_RESP_RSA,)),
    ("pubkey",        "xauth",                  (M.HYBRID_RESP_RSA,),           (M.HYBRID_INIT_RSA,)),
    ("rsa-encryption", "rsa-encryption",        (M.RSA_ENCRYPTION,),            (M.RSA_ENCRYPTION,)),
    ("rsa-encryption", "rsa-encryption xauth",  (M.XAUTH_RESP_RSA_ENCRYPTION,), (M.XAUTH_INIT_RSA_ENCRYPTION,)),
    (f"{REVISED} xauth", REVISED, (M.XAUTH_INIT_RSA_REVISED,), (M.XAUTH_RESP_RSA_REVISED,)),
    (REVISED, REVISED, (M.RSA_ENCRYPTION_REVISED,), (M.RSA_ENCRYPTION_REVISED,)),
    # What IKEv1 has no number for.
    ("psk",           "pubkey",                 (),                             ()),
    ("xauth",         "psk",                    (),                             ()),
    ("xauth",         "xauth",                  (),                             ()),
    ("psk xauth",     "psk xauth",              (),                             ()),
    ("ecdsa",         "ecdsa xauth",            (),                             ()),
]  # fmt: skip


@pytest.mark.conformance("v1-34", "v1-36")
@pytest.mark.parametrize(("local", "remote", "begun", "answered"), TABLE)
def test_methods_of_a_connection(
    local: str, remote: str, begun: tuple[AuthMethod, ...], answered: tuple[AuthMethod, ...]
) -> None:
    made = connection(local, remote)

    assert offered(made, initiator=True) == begun
    assert offered(made, initiator=False) == answered


def test_both_kinds_of_signatures_are_offered_when_anything_goes() -> None:
    assert offered(connection("pubkey", "pubkey"), True) == (M.RSA_SIGNATURE, M.ECDSA_256, M.ECDSA_384, M.ECDSA_521)


@pytest.mark.parametrize(("local", "remote", "begun", "answered"), TABLE)
def test_the_meaning_of_what_is_offered_is_what_was_configured(
    local: str, remote: str, begun: tuple[AuthMethod, ...], answered: tuple[AuthMethod, ...]
) -> None:
    for initiator, methods in ((True, begun), (False, answered)):
        for method in methods:
            sense = meaning(method, initiator)
            assert sense.we_log_in == ("xauth" in local)
            assert sense.peer_logs_in == ("xauth" in remote)
            assert sense.we_prove == (not local.startswith("xauth"))
            assert sense.peer_proves == (not remote.startswith("xauth"))


@pytest.mark.conformance("v1-36")
def test_hybrid_is_proved_by_the_gateway_alone() -> None:
    assert meaning(M.HYBRID_INIT_RSA, True) == (Phase1Kind.SIGNATURE, End.INITIATOR, True, True, False)
    assert not meaning(M.HYBRID_INIT_RSA, True).we_prove
    assert meaning(M.HYBRID_INIT_RSA, False).we_prove


@pytest.mark.parametrize("method", [M.DSS, M.HYBRID_INIT_DSS, M.XAUTH_RESP_DSS, M.ECDSA, AuthMethod(65535)])
def test_methods_that_are_not_spoken(method: AuthMethod) -> None:
    assert method not in METHODS
    with pytest.raises(NoProposalChosen, match=str(method)):
        meaning(method, True)
