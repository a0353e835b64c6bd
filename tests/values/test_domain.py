"""Names of the domain name system."""

from __future__ import annotations

import pytest

from ikectl.values.domain import is_domain, within


@pytest.mark.parametrize("text", ["example.org", "example.org.", "a", "_dns.x-1.example", "x" * 63 + ".org"])
def test_names(text: str) -> None:
    assert is_domain(text)


@pytest.mark.parametrize(
    "text", ["", ".", "a..b", "-a.org", "a b", "a\nnameserver 1", "a.org\n", "ä.org", "x" * 64, "a." * 127]
)
def test_what_is_none(text: str) -> None:
    assert not is_domain(text)


@pytest.mark.parametrize(
    ("names", "allowed", "common"),
    [
        ("lab.example.org", "example.org", "lab.example.org"),
        ("example.org", "lab.example.org", "lab.example.org"),
        ("Lab.Example.ORG.", "example.org", "Lab.Example.ORG."),
        ("org", "lab.example.org net", "lab.example.org"),
        ("badexample.org", "example.org", ""),
        ("example.org example.org.", "example.org", "example.org example.org."),
        ("example.org", "", ""),
    ],
)
def test_what_domains_have_in_common(names: str, allowed: str, common: str) -> None:
    assert within(names.split(), allowed.split()) == tuple(common.split())
