import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.iana.v2 import IdType
from ikectl.values.dn import parse_name, read_name
from ikectl.values.identity import (
    MATCH_ANY,
    MATCH_EXACT,
    MATCH_ONE_WILDCARD,
    NO_MATCH,
    Identity,
    IdentityPattern,
    RdnMatching,
)


def closeness(pattern: str, identity: str) -> int:
    return IdentityPattern.parse(pattern).match(Identity.parse(identity))


@pytest.mark.parametrize(
    ("text", "kind", "data"),
    [
        ("moon.example.org", IdType.FQDN, b"moon.example.org"),
        ("@moon", IdType.FQDN, b"moon"),
        ("@carol@moon", IdType.FQDN, b"carol@moon"),
        ("carol@example.org", IdType.RFC822_ADDR, b"carol@example.org"),
        ("@@carol", IdType.RFC822_ADDR, b"carol"),
        ("@#0a0b", IdType.KEY_ID, b"\n\x0b"),
        ("192.0.2.1", IdType.IPV4_ADDR, bytes((192, 0, 2, 1))),
        ("2001:db8::1", IdType.IPV6_ADDR, bytes.fromhex("20010db8000000000000000000000001")),
        ("some:thing", IdType.KEY_ID, b"some:thing"),
        ("not=a dn, really", IdType.KEY_ID, b"not=a dn, really"),
        ("%any", IdType.ANY, b""),
        ("", IdType.ANY, b""),
        ("0.0.0.0", IdType.ANY, b""),
        ("::", IdType.ANY, b""),
        ("keyid:moon", IdType.KEY_ID, b"moon"),
        ("keyid:#6d6f", IdType.KEY_ID, b"mo"),
        ("fqdn:192.0.2.1", IdType.FQDN, b"192.0.2.1"),
        ("dns:moon", IdType.FQDN, b"moon"),
        ("email:carol", IdType.RFC822_ADDR, b"carol"),
        ("rfc822:carol", IdType.RFC822_ADDR, b"carol"),
        ("userfqdn:carol", IdType.RFC822_ADDR, b"carol"),
        ("ipv4:192.0.2.1", IdType.IPV4_ADDR, bytes((192, 0, 2, 1))),
        ("ipv4:#c0000201", IdType.IPV4_ADDR, bytes((192, 0, 2, 1))),
        ("asn1gn:#8200", IdType.DER_ASN1_GN, b"\x82\x00"),
        ("{11}:moon", IdType.KEY_ID, b"moon"),
        ("{203}:moon", 203, b"moon"),
        ("asn1dn:CN=moon", IdType.DER_ASN1_DN, bytes.fromhex("300f310d300b06035504031304") + b"moon"),
        ("CN=moon", IdType.DER_ASN1_DN, bytes.fromhex("300f310d300b06035504031304") + b"moon"),
    ],
)
def test_the_kind_is_guessed_or_forced_as_swanctl_does(text: str, kind: int, data: bytes) -> None:
    identity = Identity.parse(text)
    assert (identity.kind, identity.data) == (kind, data)


@pytest.mark.parametrize(
    "text",
    [
        "ipv4:moon",
        "ipv6:1.2.3.4",
        "keyid:#xyz",
        "@#0",
        "ipv4:#0102",
        "{0}:x",
        "{256}:x",
        "asn1dn:moon",
        "asn1gn:moon",
        "fqdn:",
        "x" * 3000,
    ],
)
def test_what_contradicts_its_kind_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Identity.parse(text)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("C=CH, O=Linux x, CN=moon.strongswan.org", "C=CH, O=Linux x, CN=moon.strongswan.org"),
        ("/C=CH/O=a,b/CN=moon", "C=CH, O=a\\,b, CN=moon"),
        ('C=CH, O="a, b", CN=moon', "C=CH, O=a\\, b, CN=moon"),
        ("cn=moon,emailaddress=a@b.c", "CN=moon, E=a@b.c"),
        ("DC=org, DC=example, UID=carol", "DC=org, DC=example, UID=carol"),
        ("CN=Zürich", "CN=Zürich"),
        ("CN=a+OU=b, O=c+d", "CN=a+OU=b, O=c\\+d"),
        ("1.3.6.1.4.1.99999.1=x", "1.3.6.1.4.1.99999.1=x"),
        ("OID.2.5.4.3=x", "CN=x"),
        ("CN=#0c0161", "CN=a"),
        ("CN=\\#1\\20", "CN=\\#1\\ "),
    ],
)
def test_names_are_read_and_printed(text: str, printed: str) -> None:
    identity = Identity.parse(text)
    assert identity.kind == IdType.DER_ASN1_DN
    assert str(identity) == printed
    assert Identity.parse(printed).same(identity)


def test_a_name_is_encoded_as_certificates_encode_it() -> None:
    """From a certificate's subject: C PrintableString, O UTF8String when it must be, E IA5String."""
    assert parse_name("C=CH, O=Zürich, E=a@b.ch").hex(" ") == (
        "30 36"
        " 31 0b 30 09 06 03 55 04 06 13 02 43 48"
        " 31 10 30 0e 06 03 55 04 0a 0c 07 5a c3 bc 72 69 63 68"
        " 31 15 30 13 06 09 2a 86 48 86 f7 0d 01 09 01 16 06 61 40 62 2e 63 68"
    )


@pytest.mark.parametrize(
    ("pattern", "identity", "close"),
    [
        ("%any", "moon", MATCH_ANY),
        ("moon.example.org", "moon.example.org", MATCH_EXACT),
        ("moon.example.org", "MOON.example.ORG", MATCH_EXACT),
        ("moon.example.org", "sun.example.org", NO_MATCH),
        ("moon.example.org", "keyid:moon.example.org", NO_MATCH),
        ("keyid:Moon", "keyid:moon", NO_MATCH),
        ("*.example.org", "moon.example.org", MATCH_ONE_WILDCARD),
        ("*.example.org", "carol@moon.example.org", NO_MATCH),
        ("*@example.org", "carol@example.org", MATCH_ONE_WILDCARD),
        ("*@example.org", "example.org", NO_MATCH),
        ("*.example.org", "moon.example.org.evil.net", NO_MATCH),
        ("C=CH, O=x, CN=moon", "C=ch, O=X, CN=Moon", MATCH_EXACT),
        ("C=CH, O=x, CN=*", "C=CH, O=x, CN=moon", MATCH_EXACT - 1),
        ("C=*, O=x, CN=*", "C=CH, O=x, CN=moon", MATCH_EXACT - 2),
        ("C=CH, O=x, CN=*", "C=CH, O=y, CN=moon", NO_MATCH),
        ("C=CH, O=x, CN=*", "C=CH, O=x, OU=z, CN=moon", NO_MATCH),
        ("C=CH, CN=*, O=x", "C=CH, O=x, CN=moon", NO_MATCH),
        ("10.0.0.0/8", "10.1.2.3", MATCH_ONE_WILDCARD),
        ("10.0.0.0/8", "11.1.2.3", NO_MATCH),
        ("10.0.0.1-10.0.0.3", "10.0.0.3", MATCH_ONE_WILDCARD),
        ("10.0.0.1-10.0.0.3", "10.0.0.4", NO_MATCH),
        ("2001:db8::/32", "10.0.0.1", NO_MATCH),
        ("10.0.0.1", "10.0.0.1", MATCH_EXACT),
        ("email:^(carol|dave)@.*\\.org$", "Dave@x.org", 2),
        ("email:^(carol|dave)@.*\\.org$", "eve@x.org", NO_MATCH),
        ("email:^(carol|dave)@.*\\.org$", "@dave@x.org", NO_MATCH),
        ("asn1dn:^.*CN=m.*$", "C=CH, CN=moon", 2),
        ("dns:^a|b$", "ab", NO_MATCH),
        ("dns:^gw[[:digit:]]+[]x[]$", "gw12]", 2),
        ("dns:^gw[^[:alpha:]\\]$", "gw1", 2),
        ("dns:^gw[^[:alpha:]\\]$", "gw\\", NO_MATCH),
        ("dns:^gw\\[1]$", "gw[1]", 2),
    ],
)
def test_patterns_match_as_close_as_swanctl_counts(pattern: str, identity: str, close: int) -> None:
    assert closeness(pattern, identity) == close


def test_a_pattern_without_wildcards_is_one_identity() -> None:
    assert IdentityPattern.parse("moon").identity == Identity.parse("moon")
    assert IdentityPattern.parse("%any").identity is None
    assert IdentityPattern.parse("*.org").identity is None
    assert IdentityPattern.parse("CN=*").identity is None
    assert IdentityPattern.parse("10.0.0.0/8").identity is None


@pytest.mark.parametrize("text", ["%any", "moon", "*.org", "*@x.org", "CN=*, O=x", "10.0.0.0/8", "email:^.*@x$"])
def test_patterns_are_values_and_print_what_they_were_read_from(text: str) -> None:
    pattern = IdentityPattern.parse(text)
    assert str(pattern) == text
    assert IdentityPattern.parse(text) == pattern
    assert hash(IdentityPattern.parse(text)) == hash(pattern)


def test_a_bad_expression_is_refused() -> None:
    for text in ("email:^(carol$", "email:^[[:nosuch:]]$", "email:^[a--z]$", "email:^[$"):
        with pytest.raises(ValueError, match="regular expression"):
            IdentityPattern.parse(text)


def test_long_identities_meet_no_regular_expression() -> None:
    pattern = IdentityPattern.parse("email:^.*$")
    assert pattern.match(Identity(IdType.RFC822_ADDR, b"a" * 512))
    assert pattern.match(Identity(IdType.RFC822_ADDR, b"a" * 513)) == NO_MATCH


def test_an_identity_cannot_forge_a_log_line() -> None:
    assert str(Identity(IdType.FQDN, b"moon\nerror: \x1b[31m\xff")) == "moon\\nerror: \\x1b[31m\\xff"
    assert "\n" not in str(Identity.parse("CN=a\\0ab"))
    assert str(Identity(IdType.KEY_ID, b"\n")) == "0a"
    assert str(Identity(IdType.IPV4_ADDR, b"123")) == "{1}:#313233"
    assert str(Identity(IdType.DER_ASN1_DN, b"junk")) == "{9}:#6a756e6b"


def test_strings_of_different_types_name_one_party() -> None:
    """Our text becomes PrintableString where a CA may have written UTF8String (RFC 5280 §7.1)."""
    printable = Identity.parse("CN=moon")
    utf8 = Identity.of_dn(printable.data.replace(b"\x13\x04", b"\x0c\x04"))
    assert printable != utf8
    assert printable.same(utf8)


@given(st.binary(max_size=60), st.sampled_from(list(IdType)))
def test_any_octets_print_and_match(data: bytes, kind: IdType) -> None:
    identity = Identity(kind, data)
    assert str(identity).isprintable()
    for pattern in ("%any", "moon", "CN=*", "*@x", "10.0.0.0/8", "asn1dn:^x$"):
        assert IdentityPattern.parse(pattern).match(identity) >= NO_MATCH
    assert identity.same(identity)


@given(st.text(max_size=40))
def test_any_text_is_an_identity_or_a_value_error(text: str) -> None:
    for candidate in (text, f"CN={text}", f"asn1dn:{text}", f"email:^{text}$", f"keyid:#{text}"):
        for parse in (Identity.parse, IdentityPattern.parse):
            try:
                str(parse(candidate))
            except ValueError:
                pass


@given(st.lists(st.text(max_size=8), min_size=1, max_size=4))
def test_names_survive_printing(values: list[str]) -> None:
    quoted = ", ".join(
        "CN=" + "".join(f"\\{octet:02x}" for octet in value.encode("utf-8", "replace")) for value in values
    )
    identity = Identity.parse(quoted)
    assert Identity.parse(f"asn1dn:{identity}") == identity
    assert [rdn[0].text for rdn in read_name(identity.data)] == [
        value.encode("utf-8", "replace").decode() for value in values
    ]


@given(st.binary(max_size=80))
def test_any_der_is_a_name_or_a_value_error(der: bytes) -> None:
    for octets in (der, b"0" + bytes((len(der),)) + der):
        try:
            read_name(octets)
        except ValueError:
            pass


@pytest.mark.parametrize(
    ("pattern", "name", "strict", "reordered", "relaxed"),
    [
        ("C=CH, O=x, CN=a", "C=CH, O=x, CN=a", 20, 20, 20),
        ("C=CH, O=x, CN=a", "CN=a, O=X, C=ch", 0, 20, 20),
        ("C=CH, O=x, CN=*", "CN=a, O=x, C=CH", 0, 19, 19),
        ("C=CH, O=x, CN=*", "C=CH, O=x, CN=a", 19, 19, 19),
        ("O=x, CN=a", "C=CH, O=x, OU=sales, CN=a", 0, 0, 18),
        ("O=x, CN=*", "C=CH, O=x, CN=a", 0, 0, 18),
        ("O=x, CN=a", "O=x, CN=b", 0, 0, 0),
        ("O=x, O=*, CN=a", "O=y, O=x, CN=a", 0, 19, 19),
        ("O=*, O=y, CN=a", "O=y, O=x, CN=a", 0, 19, 19),
        ("O=x, O=x, CN=a", "O=x, CN=a", 0, 0, 0),
        ("O=x, O=x", "O=x, O=y", 0, 0, 0),
        ("O=x+OU=y, CN=a", "CN=a, O=x+OU=y", 0, 20, 20),
        ("O=x, CN=a", "moon", 0, 0, 0),
    ],
)
def test_how_strictly_a_name_is_compared(pattern: str, name: str, strict: int, reordered: int, relaxed: int) -> None:
    expected, found = IdentityPattern.parse(pattern), Identity.parse(name)
    ways = zip(RdnMatching, (strict, reordered, relaxed), strict=True)
    assert [expected.comparing(way).match(found) for way, _ in ways] == [strict, reordered, relaxed]
    loose = expected.comparing(RdnMatching.RELAXED)
    assert str(loose) == pattern and loose == IdentityPattern.parse(pattern).comparing(RdnMatching.RELAXED)
    assert loose.identity is None, "more than one may fit"


def test_only_names_are_compared_loosely() -> None:
    for text in ("%any", "moon", "*.org", "10.0.0.0/8", "email:^a$"):
        pattern = IdentityPattern.parse(text)
        assert pattern.comparing(RdnMatching.RELAXED) is pattern


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("moon.example.org", "MOON.Example.ORG"),
        ("carol@example.org", "Carol@EXAMPLE.org"),
        ("C=CH, O=Example Networks, CN=moon", "C=ch, O=example  NETWORKS, CN=Moon"),
        ("asn1dn:CN=Stra\u00dfe", "asn1dn:CN=STRASSE"),
    ],
)
def test_what_is_the_same_has_one_canonical_form(one: str, other: str) -> None:
    left, right = Identity.parse(one), Identity.parse(other)
    assert left != right and left.same(right)
    assert left.canonical == right.canonical and hash(left.canonical) == hash(right.canonical)
    assert left.canonical.same(left) and left.canonical.canonical == left.canonical


@pytest.mark.parametrize("text", ["keyid:Moon", "192.0.2.1", "%any", "fqdn:moon", "asn1dn:#ff00"])
def test_what_has_one_spelling_is_canonical(text: str) -> None:
    identity = Identity.parse(text)
    assert identity.canonical is identity


def test_the_encoding_of_a_string_does_not_make_another_party() -> None:
    printable = Identity.parse("CN=moon")
    utf8 = Identity.of_dn(printable.data.replace(b"\x13\x04moon", b"\x0c\x04moon"))
    assert printable != utf8
    assert printable.canonical == utf8.canonical
    assert Identity.parse("keyid:moon").canonical != Identity.parse("keyid:Moon").canonical


@given(st.sampled_from([IdType.FQDN, IdType.RFC822_ADDR, IdType.DER_ASN1_DN, IdType.KEY_ID]), st.binary(max_size=40))
def test_any_octets_have_a_canonical_form(kind: IdType, octets: bytes) -> None:
    identity = Identity(kind, octets)
    assert identity.canonical.canonical == identity.canonical
