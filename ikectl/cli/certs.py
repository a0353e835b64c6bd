"""`ikectl certs`: the certificates the daemon has, those that end soon first seen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from rich.text import Text

from ikectl.cli.render import show, show_json
from ikectl.values.duration import format_time
from ikectl.values.identity import Identity
from ikectl.vici.client import Client
from ikectl.vici.message import Tree, text

SOON = 30 * 86400  # seconds before the end from which on a certificate is worth a colour


def certs(client: Client, as_json: bool, at: datetime | None = None) -> None:
    """Print the certificates; `at` is the instant that validity is judged by, now if None."""
    at = at or datetime.now(UTC)
    found = [_facts(event, at) for event in client.stream("list-certs", "list-cert", {"type": "X509"})]
    if as_json:
        show_json(found)
        return
    if not found:
        show("No certificates.\nThey come with the configuration: ikectl load")
    for position, facts in enumerate(found):
        if position:
            show("")
        _show(facts)


def _facts(event: Tree, at: datetime) -> dict[str, Any]:
    der = event.get("data")
    certificate = x509.load_der_x509_certificate(der if isinstance(der, bytes) else b"")
    return {
        "subject": str(Identity.of_dn(certificate.subject.public_bytes())),
        "issuer": str(Identity.of_dn(certificate.issuer.public_bytes())),
        "serial": f"{certificate.serial_number:x}",
        "ca": text(event.get("flag")) == "CA",
        "has_privkey": text(event.get("has_privkey")) == "yes",
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "valid_for": int((certificate.not_valid_after_utc - at).total_seconds()),
        "begun": certificate.not_valid_before_utc <= at,
    }


def _show(facts: dict[str, Any]) -> None:
    kind = "CA" if facts["ca"] else "own" if facts["has_privkey"] else "peer"
    show(Text.assemble((facts["subject"], "bold"), (f"   {kind}, serial {facts['serial']}", "dim")))
    show(Text.assemble(("  issuer  ", "dim"), facts["issuer"]))
    left = facts["valid_for"]
    if not facts["begun"]:
        validity, style = f"not valid before {facts['not_before']}", "red"
    elif left < 0:
        validity, style = f"ended {format_time(-left)} ago, {facts['not_after']}", "red"
    else:
        validity = f"for another {format_time(left)}, until {facts['not_after']}"
        style = "yellow" if left < SOON else "green"
    show(Text.assemble(("  valid   ", "dim"), (validity, style)))
