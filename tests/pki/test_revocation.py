"""What is known of revocation, what is fetched, and what each policy makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from cryptography import x509

from ikectl.errors import CredentialError, Revoked
from ikectl.pki.certificate import Certificate
from ikectl.pki.revocation import MAX_FETCHED_CRLS, RETRY_AFTER, Kind, Query, Revocations, Sources
from tests.pki.certs import NOW, Authority, Identified, Listed, points

CRL, OCSP, DELTA = "http://ca.example.org/ca.crl", "http://ca.example.org/ocsp", "http://ca.example.org/delta.crl"
HOLD = x509.ReasonFlags.certificate_hold
ROOT = Authority.root("root")
PLAIN, POINTED = ROOT.leaf("moon"), ROOT.leaf("sun", extensions=points(crl=CRL, ocsp=OCSP))
POLICIES = ("strict", "ifuri", "relaxed")
HOUR = timedelta(hours=1)


def path(*members: Identified) -> list[Certificate]:
    return [Certificate.read(each.der) for each in members]


def ask(known: Revocations, of: Sequence[Certificate], at: datetime = NOW) -> list[Query]:
    """Everything that would be fetched, if all of it failed."""
    tried: set[tuple[object, ...]] = set()
    found = []
    while query := known.next_query(of, tried, at, bytes):
        found.append(query)
    return found


def named(queries: Sequence[Query]) -> list[tuple[Kind, str]]:
    return [(query.kind, query.uri) for query in queries]


# -- policies ---------------------------------------------------------------------


def test_a_certificate_that_names_no_place() -> None:
    """strict: refused, and the operator is told what to do; ifuri and relaxed: nothing to ask."""
    known, of = Revocations(), path(PLAIN, ROOT)
    assert not ask(known, of)
    for policy in ("ifuri", "relaxed"):
        assert not known.open(of, policy, NOW)
    with pytest.raises(CredentialError, match=r"remote\.revocation = strict.*set crl_uris or ocsp_uris"):
        known.open(of, "strict", NOW)


def test_places_of_which_none_answers() -> None:
    known, of = Revocations(), path(POINTED, ROOT)
    for policy in POLICIES:
        assert known.open(of, policy, NOW)
    queries = ask(known, of)
    assert named(queries) == [(Kind.OCSP, OCSP), (Kind.CRL, CRL)]
    assert queries[0].nonce == bytes(32) and queries[0].body and not queries[1].body
    for query in queries:
        known.give_up(query, "connection refused", NOW)
    for policy in ("strict", "ifuri"):
        with pytest.raises(CredentialError, match=f"OCSP at {OCSP}: connection refused; CRL at {CRL}: connection ref"):
            known.demand(of, policy, NOW)
        with pytest.raises(CredentialError, match="connection refused"):
            known.open(of, policy, NOW)
    known.demand(of, "relaxed", NOW)
    (line,) = known.why_unknown(of, NOW)
    assert line.startswith("C=CH, O=ikectl, CN=sun: OCSP at")


def test_what_failed_is_left_alone_for_a_minute() -> None:
    known, of = Revocations(), path(POINTED, ROOT)
    for query in ask(known, of):
        known.give_up(query, "no", NOW)
    assert not ask(known, of) and not known.open(of, "relaxed", NOW)
    assert len(ask(known, of, NOW + RETRY_AFTER)) == 2
    known.flush()
    assert len(ask(known, of)) == 2


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_good_passes(policy: str) -> None:
    for number, answer in enumerate((ROOT.ocsp(POINTED), ROOT.crl())):
        known, of = Revocations(), path(POINTED, ROOT)
        known.learn(ask(known, of)[number], answer, NOW)
        assert not known.open(of, policy, NOW)
        known.demand(of, policy, NOW)
        assert known.open(of, policy, NOW + timedelta(days=2)), "it is stale by then"


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_revoked_never_passes(policy: str) -> None:
    compromise = x509.ReasonFlags.key_compromise
    for number, answer in enumerate((ROOT.ocsp(POINTED, revoked=compromise), ROOT.crl(Listed(POINTED, compromise)))):
        known, of = Revocations(), path(POINTED, ROOT)
        known.learn(ask(known, of)[number], answer, NOW)
        serial = f"{POINTED.certificate.serial_number:x}"
        with pytest.raises(Revoked) as caught:
            known.open(of, policy, NOW)
        for words in ("CN=sun", serial, "CN=root", "2026-03-01 10:00", "key compromise", "needs a new certificate"):
            assert words in str(caught.value)
        with pytest.raises(Revoked):
            known.demand(of, policy, NOW + timedelta(days=9))


def test_every_certificate_but_the_anchor_is_checked() -> None:
    mid = ROOT.authority("mid", extensions=points(crl=CRL))
    leaf = mid.leaf("moon", extensions=points(crl="http://mid.example.org/mid.crl"))
    known, of = Revocations(), path(leaf, mid, ROOT)
    first, second = ask(known, of)
    assert (first.uri, second.uri) == ("http://mid.example.org/mid.crl", CRL)
    known.learn(first, mid.crl(), NOW)
    with pytest.raises(CredentialError, match="CN=mid was not revoked by C=CH, O=ikectl, CN=root"):
        known.demand(of, "strict", NOW)
    known.learn(second, ROOT.crl(Listed(mid)), NOW)
    with pytest.raises(Revoked, match="CN=mid"):
        known.demand(of, "relaxed", NOW)


def test_a_leaf_that_is_trusted_by_itself() -> None:
    """Nobody above it is known: what strict wants cannot be had. A self-signed one has nobody who could revoke it."""
    known = Revocations()
    with pytest.raises(CredentialError, match=r"C=CH, O=ikectl, CN=root\) is not known here; put it into x509ca/"):
        known.open(path(PLAIN), "strict", NOW)
    with pytest.raises(CredentialError, match="is not known here"):
        known.open(path(POINTED), "ifuri", NOW)
    assert not known.open(path(PLAIN), "ifuri", NOW) and not known.open(path(POINTED), "relaxed", NOW)
    assert not known.open(path(ROOT), "strict", NOW)


# -- sources ----------------------------------------------------------------------


def test_places_of_authorities_come_first() -> None:
    known, of = Revocations(), path(POINTED, ROOT)
    known.set_sources("root", of[1].authority, Sources(("file:///ca.crl", CRL), ("http://ours/ocsp",)))
    assert named(ask(known, of)) == [
        (Kind.OCSP, "http://ours/ocsp"),
        (Kind.OCSP, OCSP),
        (Kind.CRL, "file:///ca.crl"),
        (Kind.CRL, CRL),
    ]
    assert [query.configured for query in ask(known, of)] == [True, False, True, True]
    assert named(ask(known, path(PLAIN, ROOT)))[0] == (Kind.OCSP, "http://ours/ocsp")
    assert known.open(path(PLAIN, ROOT), "ifuri", NOW), "the authority names a place"
    known.drop_sources("root")
    assert not ask(known, path(PLAIN, ROOT))


def test_a_crl_from_a_file_settles_it() -> None:
    known, of = Revocations(), path(PLAIN, ROOT)
    known.add_crl(ROOT.crl(), "file", "/etc/swanctl/x509crl/root.crl")
    assert not known.open(of, "strict", NOW)
    assert len(list(known.crls())) == 1
    known.forget("file")
    with pytest.raises(CredentialError, match="nothing tells"):
        known.open(of, "strict", NOW)


def test_a_crl_that_somebody_else_made_counts_for_nothing() -> None:
    forger = Authority.root("forger")
    forged = x509.load_der_x509_crl(ROOT.crl(by=forger.key))
    assert forged.issuer == ROOT.certificate.subject
    known, of = Revocations(), path(POINTED, ROOT)
    known.add_crl(ROOT.crl(Listed(POINTED), by=forger.key), "file", "forged.crl")
    assert known.open(of, "strict", NOW), "neither good nor revoked by that"
    query = ask(known, of)[1]
    with pytest.raises(CredentialError, match="is wrong, or by another key"):
        known.learn(query, ROOT.crl(by=forger.key), NOW)
    with pytest.raises(CredentialError, match="is wrong, or by another key"):
        known.demand(of, "strict", NOW)


def test_a_stale_crl_is_refused_but_a_revocation_on_it_stands() -> None:
    known, of = Revocations(), path(POINTED, ROOT)
    old = {"starts": timedelta(days=-3), "ends": timedelta(days=-1)}
    with pytest.raises(CredentialError, match="is stale since 2026-02-28 12:00 UTC: its CA must publish a new one"):
        known.learn(ask(known, of)[1], ROOT.crl(**old), NOW)
    known.add_crl(ROOT.crl(**old), "file", "old.crl")
    with pytest.raises(CredentialError, match=r"the CRL from old\.crl of 2026-02-26 12:00 UTC is stale"):
        known.demand(of, "strict", NOW)
    known.add_crl(ROOT.crl(Listed(POINTED), **old), "file", "old.crl")
    with pytest.raises(Revoked):
        known.demand(of, "relaxed", NOW)


def test_an_older_crl_does_not_replace_a_newer_one() -> None:
    """Whoever can answer for the server could replay the CRL of last week, as long as it is not stale."""
    known, of = Revocations(), path(POINTED, ROOT)
    query = ask(known, of)[1]
    known.learn(query, ROOT.crl(Listed(POINTED), number=9), NOW)
    known.learn(query, ROOT.crl(number=8, starts=-2 * HOUR), NOW)
    with pytest.raises(Revoked):
        known.demand(of, "relaxed", NOW)


def test_words_of_different_age() -> None:
    """Revoked for good stays so; what was on hold is what the youngest source says."""
    known, of = Revocations(), path(POINTED, ROOT)
    response, crl = ask(known, of)
    known.learn(crl, ROOT.crl(Listed(POINTED, HOLD), starts=-3 * HOUR), NOW)
    with pytest.raises(Revoked, match="certificate hold"):
        known.demand(of, "relaxed", NOW)
    known.learn(response, ROOT.ocsp(POINTED), NOW)
    known.demand(of, "strict", NOW)
    known.learn(crl, ROOT.crl(Listed(POINTED), number=2, starts=-2 * HOUR), NOW)
    with pytest.raises(Revoked):
        known.demand(of, "relaxed", NOW)


def test_a_stale_response_does_not_hide_a_fresh_crl() -> None:
    known, of = Revocations(), path(POINTED, ROOT)
    response, crl = ask(known, of)
    known.learn(response, ROOT.ocsp(POINTED, starts=timedelta(minutes=-10), ends=timedelta(minutes=5)), NOW)
    known.learn(crl, ROOT.crl(), NOW)
    assert not known.open(of, "strict", NOW + HOUR)


def test_a_delta_is_fetched_where_a_base_names_one() -> None:
    extensions = [(points(delta=DELTA)[0][0], False)]
    known, of = Revocations(), path(POINTED, ROOT)
    known.learn(ask(known, of)[1], ROOT.crl(number=3, extensions=extensions), NOW)
    (query,) = ask(known, of)
    assert (query.kind, query.uri) == (Kind.DELTA, DELTA)
    assert known.open(of, "strict", NOW)
    with pytest.raises(CredentialError, match="where a delta CRL should be"):
        known.learn(query, ROOT.crl(number=4), NOW)
    known.flush([Kind.OCSP])  # and failures
    known.learn(query, ROOT.crl(Listed(POINTED), number=4, base=3), NOW)
    with pytest.raises(Revoked, match="delta CRL"):
        known.open(of, "strict", NOW)


def test_without_its_delta_a_fresh_base_does() -> None:
    known, of = Revocations(), path(POINTED, ROOT)
    known.learn(ask(known, of)[1], ROOT.crl(extensions=[(points(delta=DELTA)[0][0], False)]), NOW)
    known.give_up(ask(known, of)[0], "404", NOW)
    assert not known.open(of, "strict", NOW)


def test_a_response_that_the_peer_sends_along() -> None:
    mid = ROOT.authority("mid", extensions=points(ocsp=OCSP))
    leaf = mid.leaf("moon", extensions=points(ocsp=OCSP))
    known, of = Revocations(), path(leaf, mid, ROOT)
    assert known.hear(mid.ocsp(leaf), of, NOW) and known.hear(ROOT.ocsp(mid), of, NOW)
    assert not known.hear(b"junk", of, NOW) and not known.hear(Authority.root("x").ocsp(leaf), of, NOW)
    assert not known.open(of, "strict", NOW)
    assert len(list(known.responses())) == 2
    assert known.response(of[0], of[1], NOW) == mid.ocsp(leaf) or known.response(of[0], of[1], NOW)


def test_an_old_response_does_not_replace_a_newer_one() -> None:
    known, of = Revocations(), path(POINTED, ROOT)
    known.hear(ROOT.ocsp(POINTED, revoked=HOLD), of, NOW)
    known.hear(ROOT.ocsp(POINTED, starts=-2 * HOUR), of, NOW)
    with pytest.raises(Revoked):
        known.demand(of, "relaxed", NOW)


# -- bounds -----------------------------------------------------------------------


def test_what_is_kept_is_bounded() -> None:
    known, of = Revocations(), path(POINTED, ROOT)
    crl = ROOT.crl()
    for number in range(MAX_FETCHED_CRLS + 5):
        known.learn(Query(Kind.CRL, f"http://{number}", of[0], of[1]), crl, NOW)
    assert len(known._fetched) == MAX_FETCHED_CRLS
    known.flush([Kind.CRL])
    assert not list(known.crls())
