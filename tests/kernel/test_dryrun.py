"""What would be installed, in words."""

from __future__ import annotations

import pytest

from ikectl.config.model import Mode
from ikectl.errors import BackendError
from ikectl.iana.v2 import Protocol
from ikectl.kernel.backend import KernelBackend
from ikectl.kernel.dryrun import DryRun
from ikectl.kernel.netlink import NetlinkKernel
from tests.kernel.children import child, path, selectors


def test_both_backends_are_backends() -> None:
    kinds: tuple[type[KernelBackend], ...] = (DryRun, NetlinkKernel)
    assert len(kinds) == 2


def test_a_tunnel_and_its_end() -> None:
    plan = DryRun()
    mine = child(path(port=4500), spi_in=0xC0000001, spi_out=0xC1, encap=True, reqid=5)
    plan.install(mine)
    assert plan.steps == [
        "add sa 192.0.2.2 > 192.0.2.1 esp spi 0xc0000001 reqid 5 tunnel rfc4106(gcm(aes)) in UDP 4500 > 4500",
        "add policy in 192.0.2.12/32 > 192.0.2.11/32 priority 336000 esp tunnel reqid 5 192.0.2.2 > 192.0.2.1",
        "add policy fwd 192.0.2.12/32 > 192.0.2.11/32 priority 336000 esp tunnel reqid 5 192.0.2.2 > 192.0.2.1",
        "add sa 192.0.2.1 > 192.0.2.2 esp spi 0x000000c1 reqid 5 tunnel rfc4106(gcm(aes)) in UDP 4500 > 4500",
        "add policy out 192.0.2.11/32 > 192.0.2.12/32 priority 336000 esp tunnel reqid 5 192.0.2.1 > 192.0.2.2",
    ]
    plan.steps.clear()
    plan.close()
    assert len(plan.steps) == 5
    assert all(step.startswith("delete ") for step in plan.steps)


def test_transport_mode_with_ports() -> None:
    plan = DryRun()
    plan.install(
        child(
            suite="sha256",
            protocol=Protocol.AH,
            mode=Mode.TRANSPORT,
            remote=selectors("192.0.2.2"),
            local=selectors("192.0.2.1"),
        )
    )
    assert plan.steps[0].endswith("ah spi 0x00000000 reqid 1 transport hmac(sha256)")
    assert plan.steps[-1] == "add policy out 192.0.2.1/32 > 192.0.2.2/32 priority 336000 ah transport reqid 1"


def test_no_keys_are_shown() -> None:
    plan = DryRun()
    mine = child()
    plan.install(mine)
    assert mine.keys is not None
    assert mine.keys.encr_i.hex() not in "".join(plan.steps)


def test_what_linux_cannot_do_is_refused() -> None:
    with pytest.raises(BackendError, match="NAT"):
        DryRun().install(child(suite="sha256", protocol=Protocol.AH, encap=True))


def test_packet_numbers_are_left_out_where_something_is_sent() -> None:
    dry, one = DryRun(), child()
    dry.install(one, outbound=False)
    mark = len(dry.steps)
    dry.skip(one, 1000)
    assert dry.steps[mark:] == []
    dry.install(one, inbound=False)
    dry.skip(one, 1000)
    assert [step for step in dry.steps[mark:] if step.startswith("skip 1000 packet numbers of")]
