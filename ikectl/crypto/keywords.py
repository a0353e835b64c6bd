"""The text forms of proposals: keywords of swanctl.conf, names for operators, the defaults.

Keyword strings exist here alone; everywhere else a proposal is made of typed
transforms (`wire.v2.sa`).
"""

from __future__ import annotations

import difflib
from functools import lru_cache

from ikectl.crypto import transforms as table
from ikectl.iana.v2 import EsnId, KeyExchangeMethod, Protocol, TransformType
from ikectl.wire.v2.sa import Proposal, Transform

DEFAULT_IKE_HYBRID = (
    "aes256gcm16-chacha20poly1305-aes128gcm16-prfsha384-prfsha256-prfsha512-x25519-ecp384-ke1_mlkem768-ke1_mlkem1024",
)
DEFAULT_IKE = (
    "aes256gcm16-chacha20poly1305-aes128gcm16-prfsha384-prfsha256-prfsha512-x25519-ecp256-ecp384-x448-modp3072-modp2048",
    "aes256-aes128-sha384-sha256-sha512-x25519-ecp256-ecp384-x448-modp3072-modp2048",
)
DEFAULT_ESP = (
    "aes256gcm16-chacha20poly1305-aes128gcm16-esn-noesn",
    "aes256-aes128-sha384-sha256-sha512-esn-noesn",
)
DEFAULT_AH = ("sha384-sha256-sha512-esn-noesn",)


def parse_proposal(text: str, protocol: Protocol) -> Proposal:
    """A proposal from keywords joined by "-", as in swanctl.conf. Its number is 1 and it has no SPI.

    Of several keywords of one kind the first is preferred. An IKE proposal
    that names no prf takes those of its integrity algorithms. `ke1_` to `ke7_`
    before a key exchange make it an additional one (RFC 9370); `none` makes a
    key exchange optional.

    Raises ValueError, with a suggestion, for unknown words and for
    combinations that cannot work.
    """
    found: dict[TransformType, dict[Transform, None]] = {kind: {} for kind in TransformType}
    for word in text.strip().lower().split("-"):
        transform = _parse_word(word.strip())
        found[transform.type][transform] = None
    chosen = {kind: list(transforms) for kind, transforms in found.items() if transforms}
    _complete(chosen, protocol, text)
    return Proposal(1, protocol, b"", tuple(t for kind in TransformType for t in chosen.get(kind, ())))


def default_ike() -> tuple[Proposal, ...]:
    """What "default" means for an IKE SA: first with ML-KEM beside the classic exchange (RFC 9370), then without."""
    return _parsed((*DEFAULT_IKE_HYBRID, *DEFAULT_IKE), Protocol.IKE)


def default_esp() -> tuple[Proposal, ...]:
    """What "default" means for ESP: no key exchange of its own."""
    return _parsed(DEFAULT_ESP, Protocol.ESP)


def default_ah() -> tuple[Proposal, ...]:
    """What "default" means for AH."""
    return _parsed(DEFAULT_AH, Protocol.AH)


def format_proposal(proposal: Proposal) -> str:
    """The keywords of a proposal; what has none is written as type and number."""
    return "-".join(_keyword(transform) for transform in proposal.transforms)


def describe(proposal: Proposal) -> str:
    """What operators read, such as `AES_GCM_16_256/PRF_HMAC_SHA2_256/CURVE_25519`."""
    return "/".join(name_of(transform) for transform in proposal.transforms)


@lru_cache(16)
def _parsed(texts: tuple[str, ...], protocol: Protocol) -> tuple[Proposal, ...]:
    return tuple(parse_proposal(text, protocol)._replace(number=number) for number, text in enumerate(texts, 1))


def _parse_word(word: str) -> Transform:
    fixed = _FIXED_WORDS.get(word)
    if fixed is not None:
        return fixed
    kind = TransformType.KE
    bare = word
    if word[:2] == "ke" and word[3:4] == "_" and word[2:3] in tuple("1234567"):
        kind, bare = table.ADDITIONAL[int(word[2]) - 1], word[4:]
        if bare == "none":
            return Transform(kind, KeyExchangeMethod.NONE)
    row = table.BY_KEYWORD.get(bare)
    if row is None or (bare != word and not isinstance(row, table.KeRow)):
        words = [*table.BY_KEYWORD, *_FIXED_WORDS]
        close = difflib.get_close_matches(bare, words, n=1)
        raise ValueError(f'unknown algorithm "{word}"' + (f': did you mean "{close[0]}"?' if close else ""))
    return row.transform if kind is TransformType.KE else Transform(kind, row.id)


_FIXED_WORDS = {"esn": table.ESN, "noesn": table.NO_ESN, "none": table.NO_KE, "modpnone": table.NO_KE}


def _complete(found: dict[TransformType, list[Transform]], protocol: Protocol, text: str) -> None:
    """Fill in what the text may leave out, drop what the protocol has no use for, refuse the impossible."""
    T = TransformType
    if protocol is Protocol.AH:
        for kind in (T.ENCR, T.PRF):
            found.pop(kind, None)
    if protocol is Protocol.IKE:
        found.pop(T.ESN, None)
        _complete_ike(found, text)
    else:
        found.pop(T.PRF, None)
        found.setdefault(T.ESN, [table.NO_ESN])
    combined = {table.ENCRYPTION_BY_TRANSFORM[t].combined for t in found.get(T.ENCR, ())}
    if combined == {True, False}:
        raise ValueError(f'"{text}" mixes ciphers with and without integrity of their own: make two proposals of it')
    if combined == {True}:
        found.pop(T.INTEG, None)
    elif T.INTEG not in found:
        raise ValueError(f'"{text}" has no integrity algorithm, such as sha256')
    _check_key_exchanges(found, text)
    for kind in table.MANDATORY[protocol]:
        if kind not in found:
            raise ValueError(f'"{text}" has no {KIND_NAMES[kind]}, such as {_EXAMPLES[kind]}')


def _check_key_exchanges(found: dict[TransformType, list[Transform]], text: str) -> None:
    """Additional key exchanges follow a first one, and none serves twice (RFC 9370 §2.2.1, §2.2.4)."""
    used: dict[int, str] = {}
    for kind in (TransformType.KE, *table.ADDITIONAL):
        wanted = found.get(kind, [])
        if TransformType.KE not in found and any(t.id != KeyExchangeMethod.NONE for t in wanted):
            raise ValueError(f'"{text}" has additional key exchanges but no first one, such as x25519')
        if len(wanted) == 1 and wanted[0].id != KeyExchangeMethod.NONE:
            other = used.setdefault(wanted[0].id, KIND_NAMES[kind])
            if other != KIND_NAMES[kind]:
                raise ValueError(f'"{text}" has one method as {other} and as {KIND_NAMES[kind]}: it may serve once')


def _complete_ike(found: dict[TransformType, list[Transform]], text: str) -> None:
    T = TransformType
    for transform in found.get(T.ENCR, ()):
        row = table.ENCRYPTION_BY_TRANSFORM[transform]
        if not row.ike:
            raise ValueError(f'"{row.keywords[0]}" cannot protect an IKE SA')
    if T.PRF not in found:
        ids = [table.INTEGRITY_BY_TRANSFORM[t].prf for t in found.get(T.INTEG, ())]
        found[T.PRF] = [Transform(T.PRF, number) for number in ids]
        if not ids:
            del found[T.PRF]
    if table.NO_KE in found.get(T.KE, ()):
        raise ValueError("an IKE SA cannot do without a key exchange")


KIND_NAMES = {
    TransformType.ENCR: "encryption algorithm",
    TransformType.PRF: "pseudo-random function",
    TransformType.INTEG: "integrity algorithm",
    TransformType.KE: "key exchange",
    TransformType.ESN: "sequence numbers",
} | {kind: f"additional key exchange {number}" for number, kind in enumerate(table.ADDITIONAL, 1)}

_EXAMPLES = {
    TransformType.ENCR: "aes256gcm16",
    TransformType.PRF: "prfsha256",
    TransformType.INTEG: "sha256",
    TransformType.KE: "x25519",
}


def _keyword(transform: Transform) -> str:
    kind, number, key_bits, _ = transform
    prefix = f"ke{table.ADDITIONAL.index(kind) + 1}_" if kind in table.ADDITIONAL else ""
    row = table.row_of(transform)
    if row is not None:
        return prefix + row.keywords[0]
    if kind in table.KEY_EXCHANGES and number == KeyExchangeMethod.NONE:
        return prefix + "none"
    if kind is TransformType.ESN and number in (EsnId.NO_ESN, EsnId.ESN):
        return "esn" if number else "noesn"
    if transform == table.NO_INTEGRITY:
        return "noauth"
    return f"{prefix}{int(kind)}:{number}" + (f":{key_bits}" if key_bits else "")


def name_of(transform: Transform) -> str:
    """What operators read for one transform, with its key length if it has one."""
    kind, number, key_bits, _ = transform
    prefix = f"KE{table.ADDITIONAL.index(kind) + 1}_" if kind in table.ADDITIONAL else ""
    row = table.row_of(transform)
    if row is not None:
        return f"{prefix}{row.name}_{key_bits}" if key_bits else prefix + row.name
    if kind in table.KEY_EXCHANGES and number == KeyExchangeMethod.NONE:
        return prefix + "KE_NONE"
    if kind is TransformType.ESN and number in (EsnId.NO_ESN, EsnId.ESN):
        return "EXT_SEQ" if number else "NO_EXT_SEQ"
    if transform == table.NO_INTEGRITY:
        return "INTEG_NONE"
    return f"{prefix}{int(kind)}:{number}" + (f"_{key_bits}" if key_bits else "")
