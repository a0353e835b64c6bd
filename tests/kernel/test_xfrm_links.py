"""xfrm interfaces through rtnl, in a kernel that has none: every refusal is typed.

The embedded kernel is built without CONFIG_XFRM_INTERFACE, so what can be shown here
is how its absence is told; reading is shown on recorded messages in tests/xfrm.
"""

import subprocess

import pytest

from xfrm import Exists, Gone, Unsupported
from xfrm.links import Interfaces


async def test_a_kernel_without_xfrm_interfaces_says_so(netns: None) -> None:
    async with Interfaces() as interfaces:
        with pytest.raises(Unsupported, match="xfrm interfaces") as caught:
            await interfaces.create("ipsec0", if_id=42)
        assert caught.value.protocol == "xfrm interfaces"
        assert await interfaces.list() == []


async def test_other_links_are_not_ours(netns: None) -> None:
    subprocess.run(["ip", "link", "add", "other", "type", "dummy"], check=True)
    async with Interfaces() as interfaces:
        assert await interfaces.list() == []
        with pytest.raises(Gone, match="other"):
            await interfaces.delete("other")
        with pytest.raises(Exists):
            await interfaces.create("other", if_id=42)
    subprocess.run(["ip", "link", "show", "other"], check=True, capture_output=True)


async def test_a_namespace_that_is_not_there(netns: None) -> None:
    with pytest.raises(Gone, match="nowhere"):
        async with Interfaces("nowhere"):
            pass
