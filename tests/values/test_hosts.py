"""Which addresses may be another host's."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ikectl.values.hosts import is_of_a_host

NONE = "0.0.0.0 127.0.0.53 169.254.1.1 224.0.0.251 255.255.255.255 :: ::1 fe80::1 ff02::fb"


@pytest.mark.parametrize("text", ["10.0.0.1", "192.0.2.1", "8.8.8.8", "fd00::1", "2001:db8::1"])
def test_hosts(text: str) -> None:
    assert is_of_a_host(ip_address(text).packed)


@pytest.mark.parametrize("text", NONE.split())
def test_what_is_none(text: str) -> None:
    assert not is_of_a_host(ip_address(text).packed)
