"""Crash tokens (RFC 6290 §4.1, §5.2)."""

from __future__ import annotations

from ikectl.sa.crash_tokens import CrashSecrets, matches
from ikectl.values.secret import Secret

OLD, NEW = Secret(b"o" * 32), Secret(b"n" * 32)
SPIS = b"initiatr", b"respondr"
PEER, OTHER = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))


def test_what_was_given_before_a_start_is_proven_after_it() -> None:
    before, after = CrashSecrets(OLD), CrashSecrets(NEW, (OLD,))
    given = before.token(*SPIS, PEER)
    assert len(given) == 32
    assert [matches(given, shown) for shown in after.proofs(*SPIS, PEER)] == [True]
    assert after.proofs(*SPIS, OTHER) != after.proofs(*SPIS, PEER), "nobody else has it told"
    assert after.proofs(*SPIS[::-1], PEER) != after.proofs(*SPIS, PEER)


def test_what_is_given_today_is_never_shown() -> None:
    today = CrashSecrets(NEW, (OLD,))
    assert today.token(*SPIS, PEER) not in today.proofs(*SPIS, PEER)


def test_without_a_secret_there_is_no_token_and_no_token_matches_nothing() -> None:
    assert CrashSecrets().token(*SPIS, PEER) == b"" and CrashSecrets().proofs(*SPIS, PEER) == ()
    assert not matches(b"", b"") and not matches(b"short", b"short")


def test_secrets_do_not_print() -> None:
    assert "oooo" not in repr(CrashSecrets(OLD, (OLD,)))
