"""Distinguished names: X.501 names as DER and as the text operators write.

Only names are read and written here, so that identities compare without
an X.509 library; certificates are `pki`'s. Text follows RFC 4514 with the
order of the encoding (most significant first) and strongSwan's short keys.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_RDNS = 64
"""More relative names than this are refused: nobody's name, somebody's attack."""

_SEQUENCE, _SET, _OID = 0x30, 0x31, 0x06
_UTF8, _PRINTABLE, _TELETEX, _IA5 = 0x0C, 0x13, 0x14, 0x16
_UNIVERSAL, _BMP = 0x1C, 0x1E
_TEXT = {
    _UTF8: "utf-8",
    _PRINTABLE: "ascii",
    _TELETEX: "latin-1",
    _IA5: "ascii",
    _UNIVERSAL: "utf-32-be",
    _BMP: "utf-16-be",
}

_KEYS: tuple[tuple[str, tuple[str, ...], int], ...] = (
    # OID                            keys, the first is printed                string tag, 0: by content
    ("2.5.4.3",                      ("CN", "commonName"),                     0),
    ("2.5.4.4",                      ("S", "surname"),                         0),
    ("2.5.4.5",                      ("SN", "serialNumber"),                   _PRINTABLE),
    ("2.5.4.6",                      ("C", "countryName"),                     _PRINTABLE),
    ("2.5.4.7",                      ("L", "localityName"),                    0),
    ("2.5.4.8",                      ("ST", "stateOrProvinceName"),            0),
    ("2.5.4.9",                      ("STREET", "streetAddress"),              0),
    ("2.5.4.10",                     ("O", "organizationName"),                0),
    ("2.5.4.11",                     ("OU", "organizationalUnitName"),         0),
    ("2.5.4.12",                     ("T", "title"),                           0),
    ("2.5.4.13",                     ("D", "description"),                     0),
    ("2.5.4.16",                     ("postalAddress",),                       0),
    ("2.5.4.17",                     ("postalCode",),                          0),
    ("2.5.4.41",                     ("N", "name"),                            0),
    ("2.5.4.42",                     ("G", "GN", "givenName"),                 0),
    ("2.5.4.43",                     ("I", "initials"),                        0),
    ("2.5.4.45",                     ("ID", "uniqueIdentifier"),               0),
    ("2.5.4.46",                     ("dnQualifier",),                         _PRINTABLE),
    ("2.5.4.54",                     ("dmdName",),                             0),
    ("2.5.4.65",                     ("pseudonym",),                           0),
    ("0.9.2342.19200300.100.1.1",    ("UID", "userId"),                        0),
    ("0.9.2342.19200300.100.1.25",   ("DC", "domainComponent"),                _IA5),
    ("1.2.840.113549.1.9.1",         ("E", "Email", "emailAddress"),           _IA5),
    ("1.2.840.113549.1.9.2",         ("UN", "unstructuredName"),               0),
    ("1.2.840.113549.1.9.8",         ("UA", "unstructuredAddress"),            0),
    ("2.16.840.1.113730.3.1.3",      ("EN", "employeeNumber"),                 0),
)  # fmt: skip

_PRINTABLE_ONLY = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]*\Z")
_KEY = re.compile(r"\s*(?:OID\.)?([A-Za-z][A-Za-z0-9]*|[0-2](?:\.[0-9]+)+)\s*=", re.IGNORECASE)
_ESCAPED = ',+"\\;<>'


class Attribute(NamedTuple):
    """One attribute of a name: OID octets, ASN.1 string tag, value octets."""

    oid: bytes
    tag: int
    value: bytes

    @property
    def text(self) -> str | None:
        """The value as text; None when it is no string or not validly encoded."""
        encoding = _TEXT.get(self.tag)
        try:
            return self.value.decode(encoding) if encoding else None
        except UnicodeDecodeError:
            return None

    def same(self, other: Attribute) -> bool:
        """Equal as RFC 5280 §7.1 compares: strings without case and with blanks folded."""
        if self.oid != other.oid:
            return False
        mine, theirs = self.text, other.text
        if mine is None or theirs is None:
            return self.tag == other.tag and self.value == other.value
        return mine == theirs or _folded(mine) == _folded(theirs)

    @property
    def canonical(self) -> Attribute:
        """The one that stands for all that are `same`."""
        text = self.text
        return self if text is None else Attribute(self.oid, _UTF8, _folded(text).encode())


Rdn = tuple[Attribute, ...]


def read_name(der: bytes) -> tuple[Rdn, ...]:
    """The relative names of a DER Name, as encoded. Raises ValueError."""
    tag, body, rest = _element(der)
    if tag != _SEQUENCE or rest:
        raise ValueError("not a DER distinguished name")
    rdns: list[Rdn] = []
    while body:
        tag, members, body = _element(body)
        if tag != _SET or not members:
            raise ValueError("a relative name must be a non-empty SET")
        rdn: list[Attribute] = []
        while members:
            tag, pair, members = _element(members)
            if tag != _SEQUENCE:
                raise ValueError("a name attribute must be a SEQUENCE")
            tag, oid, pair = _element(pair)
            if tag != _OID or not oid:
                raise ValueError("a name attribute begins with an OID")
            tag, value, pair = _element(pair)
            if pair:
                raise ValueError("octets after a name attribute")
            rdn.append(Attribute(oid, tag, value))
        rdns.append(tuple(rdn))
        if sum(map(len, rdns)) > MAX_RDNS:
            raise ValueError(f"more than {MAX_RDNS} attributes in a name")
    return tuple(rdns)


def write_name(rdns: tuple[Rdn, ...]) -> bytes:
    """The DER of a Name; members of a multi-valued relative name are sorted as DER wants."""
    sets = []
    for rdn in rdns:
        pairs = [_tlv(_SEQUENCE, _tlv(_OID, a.oid) + _tlv(a.tag, a.value)) for a in rdn]
        sets.append(_tlv(_SET, b"".join(sorted(pairs))))
    return _tlv(_SEQUENCE, b"".join(sets))


def parse_name(text: str) -> bytes:
    """DER from `C=CH, O=Example, CN=gw` or `/C=CH/O=Example/CN=gw`. Raises ValueError.

    A value may be quoted, may escape with a backslash (RFC 4514 §2.4), or be
    `#` and the hex of a DER value. `+` joins attributes of one relative name
    when another `KEY=` follows it.
    """
    slashes = text.startswith("/")
    at = 1 if slashes else 0
    rdns: list[list[Attribute]] = []
    joined = False
    while at < len(text):
        key = _KEY.match(text, at)
        if not key:
            raise ValueError(f"expected KEY=value in the distinguished name at {text[at : at + 20]!r}")
        oid, wanted = _oid_of_key(key[1])
        value, literal, at, joins = _read_value(text, key.end(), "/" if slashes else ",;")
        attribute = _hex_value(oid, value) if literal else _string_value(oid, value, wanted)
        if joined:
            rdns[-1].append(attribute)
        else:
            rdns.append([attribute])
        joined = joins
        if sum(map(len, rdns)) > MAX_RDNS:
            raise ValueError(f"more than {MAX_RDNS} attributes in a name")
    if not rdns:
        raise ValueError("empty distinguished name")
    return write_name(tuple(map(tuple, rdns)))


def format_name(rdns: tuple[Rdn, ...]) -> str:
    """Text that `parse_name` reads back: `C=CH, O=Example, CN=gw`."""
    return ", ".join("+".join(f"{_key_of_oid(a.oid)}={_value_text(a)}" for a in rdn) for rdn in rdns)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _element(octets: bytes) -> tuple[int, bytes, bytes]:
    """(tag, contents, what follows) of one definite-length DER element."""
    if len(octets) < 2:
        raise ValueError("DER cut short")
    tag, length, start = octets[0], octets[1], 2
    if tag & 0x1F == 0x1F:
        raise ValueError("a DER tag of several octets in a name")
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 3 or len(octets) < 2 + count:
            raise ValueError("bad DER length")
        start = 2 + count
        length = int.from_bytes(octets[2:start], "big")
    if len(octets) < start + length:
        raise ValueError("DER cut short")
    return tag, octets[start : start + length], octets[start + length :]


def _tlv(tag: int, contents: bytes) -> bytes:
    length = len(contents)
    if length < 0x80:
        return bytes((tag, length)) + contents
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + contents


def _oid_octets(dotted: str) -> bytes:
    parts = [int(part) for part in dotted.split(".")]
    if len(parts) < 2 or parts[0] > 2 or (parts[0] < 2 and parts[1] > 39) or any(p >> 63 for p in parts):
        raise ValueError(f"{dotted} is no object identifier")
    octets = bytearray()
    for number in (parts[0] * 40 + parts[1], *parts[2:]):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | number & 0x7F)
        octets += bytes(reversed(groups))
    return bytes(octets)


def _oid_dotted(octets: bytes) -> str:
    numbers, number = [], 0
    for octet in octets:
        number = number << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(number)
            number = 0
    if not numbers:
        return "0.0"
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


_BY_KEY = {key.lower(): (_oid_octets(oid), tag) for oid, keys, tag in _KEYS for key in keys}
_BY_OID = {_oid_octets(oid): keys[0] for oid, keys, _ in _KEYS}


def _oid_of_key(key: str) -> tuple[bytes, int]:
    if key[0].isdigit():
        return _oid_octets(key), 0
    try:
        return _BY_KEY[key.lower()]
    except KeyError:
        raise ValueError(f"unknown key {key!r} in the distinguished name; write its OID instead") from None


def _key_of_oid(oid: bytes) -> str:
    return _BY_OID.get(oid) or _oid_dotted(oid)


def _read_value(text: str, at: int, separators: str) -> tuple[str, bool, int, bool]:
    """(value, is #hex, position of the next key, whether the next key is of the same relative name)."""
    while at < len(text) and text[at] == " ":
        at += 1
    if at < len(text) and text[at] == '"':
        return _read_quoted(text, at + 1, separators)
    literal = text[at : at + 1] == "#"
    out = bytearray()
    kept = 0  # what an escape wrote is not stripped
    joins = False
    while at < len(text):
        letter = text[at]
        if letter == "\\":
            piece, at = _read_escape(text, at + 1)
            out += piece
            kept = len(out)
            continue
        if letter in separators:
            break
        if letter == "+" and _KEY.match(text, at + 1):
            joins = True
            break
        out += letter.encode("utf-8", "surrogateescape")
        at += 1
    value = bytes(out[:kept] + out[kept:].rstrip(b" ")).decode("utf-8")
    return value, literal, at + 1, joins


def _read_quoted(text: str, at: int, separators: str) -> tuple[str, bool, int, bool]:
    out = bytearray()
    while at < len(text) and text[at] != '"':
        if text[at] == "\\":
            piece, at = _read_escape(text, at + 1)
            out += piece
        else:
            out += text[at].encode("utf-8", "surrogateescape")
            at += 1
    if at >= len(text):
        raise ValueError("a quote is not closed in the distinguished name")
    at += 1
    while at < len(text) and text[at] == " ":
        at += 1
    if at < len(text) and text[at] not in separators + "+":
        raise ValueError(f"unexpected {text[at : at + 10]!r} after a quoted value")
    return out.decode("utf-8"), False, at + 1, text[at : at + 1] == "+"


def _read_escape(text: str, at: int) -> tuple[bytes, int]:
    if at >= len(text):
        raise ValueError("a backslash ends the distinguished name")
    pair = text[at : at + 2]
    if re.fullmatch("[0-9A-Fa-f]{2}", pair):
        return bytes.fromhex(pair), at + 2
    return text[at].encode("utf-8", "surrogateescape"), at + 1


def _hex_value(oid: bytes, value: str) -> Attribute:
    try:
        tag, contents, rest = _element(bytes.fromhex(value[1:]))
    except ValueError:
        raise ValueError(f"{value[:20]!r} is not the hex of a DER value") from None
    if rest:
        raise ValueError("octets after the DER value")
    return Attribute(oid, tag, contents)


def _string_value(oid: bytes, value: str, wanted: int) -> Attribute:
    if wanted == _IA5 and value.isascii():
        return Attribute(oid, _IA5, value.encode("ascii"))
    if _PRINTABLE_ONLY.match(value) or value == "*":
        return Attribute(oid, _PRINTABLE, value.encode("ascii"))
    return Attribute(oid, _UTF8, value.encode("utf-8"))


def _value_text(attribute: Attribute) -> str:
    text = attribute.text
    if text is None:
        return "#" + _tlv(attribute.tag, attribute.value).hex()
    out = "".join(
        "".join(f"\\{octet:02x}" for octet in letter.encode("utf-8", "surrogatepass"))
        if not letter.isprintable()
        else f"\\{letter}"
        if letter in _ESCAPED
        else letter
        for letter in text
    )
    if out[:1] in ("#", " "):
        out = "\\" + out
    if out.endswith(" ") and len(text) > 1:  # else it is escaped already
        out = out[:-1] + "\\ "
    return out
