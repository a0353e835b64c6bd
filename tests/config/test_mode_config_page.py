"""The example of docs/mode-config.md is a configuration."""

from __future__ import annotations

import re
from pathlib import Path

from ikectl.iana.v1 import ConfigAttribute

from .trees import load_text

PAGE = Path(__file__).parents[2] / "docs" / "mode-config.md"


def test_the_example_loads() -> None:
    (text,) = re.findall(r"```\n(.*?)```", PAGE.read_text(), re.DOTALL)
    loaded = load_text(text).loaded
    gateway, client = loaded.connections
    (pool,) = loaded.pools
    assert gateway.pools == (pool.name,)
    assert client.vips == (bytes(4),)
    assert [attribute.type for attribute in pool.attributes] == [
        ConfigAttribute.INTERNAL_IP4_DNS,
        ConfigAttribute.UNITY_DEF_DOMAIN,
    ]
    # dynamic, which is the inner address.
    assert gateway.children[0].remote_ts[0].network is None
    assert client.children[0].local_ts[0].network is None
