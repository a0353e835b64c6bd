from __future__ import annotations

import pytest

from ikectl.crypto import transforms
from ikectl.crypto.keywords import (
    DEFAULT_AH,
    DEFAULT_ESP,
    DEFAULT_IKE,
    DEFAULT_IKE_HYBRID,
    parse_proposal,
)
from ikectl.iana.v2 import Protocol, TransformType

ROWS = [*transforms.ENCRYPTION, *transforms.INTEGRITY, *transforms.PRF, *transforms.KE]


def test_no_two_rows_share_a_transform_or_a_keyword() -> None:
    assert len({row.transform for row in ROWS}) == len(ROWS)
    words = [word for row in ROWS for word in row.keywords]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.keywords[0])
def test_rows_are_found_by_transform_and_by_keyword(row: transforms.Row) -> None:
    assert transforms.BY_TRANSFORM[row.transform] is row
    assert all(transforms.BY_KEYWORD[word] is row for word in row.keywords)
    assert row.id.assigned


@pytest.mark.conformance("v2-53")
def test_key_length_goes_with_ciphers_of_variable_keys_alone() -> None:
    """RFC 7296 §3.3.5; RFC 7634 §3 on ChaCha20."""
    fixed = {row.keywords[0] for row in transforms.ENCRYPTION if row.transform.key_bits == 0}
    assert fixed == {"3des", "des", "null", "chacha20poly1305"}
    assert all(row.transform.key_bits in (0, row.key_bits) for row in transforms.ENCRYPTION)
    assert not any(row.transform.key_bits for row in ROWS if row.transform.type is not TransformType.ENCR)


def test_no_default_has_a_weak_algorithm() -> None:
    for texts, protocol in (
        (DEFAULT_IKE + DEFAULT_IKE_HYBRID, Protocol.IKE),
        (DEFAULT_ESP, Protocol.ESP),
        (DEFAULT_AH, Protocol.AH),
    ):
        for text in texts:
            words = [word.split("_")[-1] for word in text.split("-") if word not in ("esn", "noesn")]
            assert not any(transforms.BY_KEYWORD[word].weak for word in words)
            assert parse_proposal(text, protocol)


def test_weak_ones_are_marked() -> None:
    weak = {row.keywords[0] for row in ROWS if row.weak}
    assert weak >= {
        "3des",
        "des",
        "null",
        "md5",
        "sha1",
        "prfmd5",
        "prfsha1",
        "modp768",
        "modp1024",
        "modp1536",
        "ecp192",
    }


def test_short_words_of_swanctl() -> None:
    assert transforms.BY_KEYWORD["aes"] is transforms.BY_KEYWORD["aes128"]
    assert transforms.BY_KEYWORD["camellia"] is transforms.BY_KEYWORD["camellia128"]
    assert transforms.BY_KEYWORD["curve25519"] is transforms.BY_KEYWORD["x25519"]
    assert transforms.BY_KEYWORD["aes256gcm128"] is transforms.BY_KEYWORD["aes256gcm16"]
