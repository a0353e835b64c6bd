"""One-time passwords against the vectors of RFC 2289 App. C."""

from __future__ import annotations

import pytest

from ikectl.auth.otp import MAX_SEQUENCE, one_time_password
from ikectl.errors import CredentialError

PHRASES = {"TeSt": b"This is a test.", "alpha1": b"AbCdEfGhIjK", "correct": b"OTP's are good"}


@pytest.mark.parametrize(
    ("challenge", "hexadecimal"),
    [
        ("otp-md5 0 TeSt", "9E876134D90499DD"),
        ("otp-md5 1 TeSt", "7965E05436F5029F"),
        ("otp-md5 99 TeSt", "50FE1962C4965880"),
        ("otp-md5 0 alpha1", "87066DD9644BF206"),
        ("otp-md5 0 correct", "F205753943DE4CF9"),
        ("otp-sha1 0 TeSt", "BB9E6AE1979D8FF4"),
        ("otp-sha1 1 TeSt", "63D936639734385B"),
        ("otp-sha1 99 TeSt", "87FEC7768B73CCF9"),
    ],
)
def test_vectors(challenge: str, hexadecimal: str) -> None:
    password = one_time_password(challenge, PHRASES[challenge.split()[2]])

    assert bytes(password) == hexadecimal.lower().encode()
    assert hexadecimal.lower() not in repr(password)


def test_extensions_of_the_challenge_do_not_matter() -> None:
    """RFC 2243: `ext` may follow."""
    assert one_time_password(" otp-md5 0 TeSt ext, Response:", b"This is a test.").startswith(b"9e876134")


@pytest.mark.parametrize(
    ("challenge", "why"),
    [
        ("", "not of the form"),
        ("your password please", "not of the form"),
        ("otp-md5 -1 seed", "not of the form"),
        ("otp-md5 1 a-seed-that-is-no-seed!", "not of the form"),
        ("otp-md4 1 seed", "by md4 are unknown"),
        (f"otp-md5 {MAX_SEQUENCE + 1} seed", "highest"),
        ("otp-md5 99999999999 seed", "not of the form"),
    ],
)
def test_what_cannot_be_answered(challenge: str, why: str) -> None:
    with pytest.raises(CredentialError, match=why):
        one_time_password(challenge, b"pass-phrase")
