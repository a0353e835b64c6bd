"""The examples of docs/eap.md are configurations, and its table knows every method."""

from __future__ import annotations

import re
from pathlib import Path

from ikectl.config.auth import read_auth
from ikectl.config.model import AuthKind, SecretKind
from ikectl.iana.eap import EapType

from .trees import load_text

PAGE = (Path(__file__).parents[2] / "docs" / "eap.md").read_text()
GATEWAY, CLIENT = re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)


def test_the_gateway_loads() -> None:
    loaded = load_text(GATEWAY.replace("certs = gw.pem", "")).loaded
    (gateway,) = loaded.connections
    assert gateway.remote[0].auth.eap == (EapType.MSCHAPV2,)
    assert [secret.kind for secret in loaded.secrets] == [SecretKind.USER, SecretKind.NTLM]


def test_the_client_loads() -> None:
    (client,) = load_text(CLIENT).loaded.connections
    assert client.local[0].auth.kind is AuthKind.EAP and str(client.local[0].eap_id) == "carol"


def test_the_table_knows_every_method() -> None:
    words = re.findall(r"`(eap[\w-]*)`", PAGE.partition("## Methods")[2].partition("`eap-radius` is refused")[0])
    named = {kind for word in words for kind in read_auth(word).eap if len(read_auth(word).eap) == 1}
    assert named == set(read_auth("eap").eap)
