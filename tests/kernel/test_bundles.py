"""Several SAs for one packet: AH around ESP, IPComp inside of either, all three."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from ikectl.config.model import Mode
from ikectl.errors import BackendError
from ikectl.iana.v2 import Protocol
from ikectl.kernel.backend import FIRST_CPI, LAST_CPI, Expired
from ikectl.kernel.dryrun import DryRun
from ikectl.sa.child_sa import ChildSa, Particulars
from ikectl.values.path import Endpoint, Path
from tests.kernel.children import LEFT_INNER, RIGHT_INNER, Ends, adapters, child, companion, moved, path, selectors
from tests.kernel.test_xfrm_traffic import load_module
from tests.kernel.xfrm_pair import LEFT6, LEFT_ADDRESS, RIGHT6, RIGHT_ADDRESS, Pair, ip_batch, pair, ping
from tests.lab.world import until
from xfrm import Channel, Direction, DumpPolicy, DumpSa, GetSa, Policy, Proto, Sa, SaId

__all__ = ["pair"]

AH, ESP, IPCOMP = Protocol.AH, Protocol.ESP, Protocol.IPCOMP
INNER = ("-I", LEFT_INNER)
ZEROS = ("-s", "1000", "-p", "00")
"""What compresses well; a ping of the usual size does not, and is sent as it is."""

BUNDLES = [
    pytest.param(ESP, (AH,), id="ah+esp"),
    pytest.param(ESP, (IPCOMP,), id="esp+ipcomp"),
    pytest.param(ESP, (AH, IPCOMP), id="ah+esp+ipcomp"),
    pytest.param(AH, (IPCOMP,), id="ah+ipcomp"),
]
NUMBERS = {AH: Proto.AH, ESP: Proto.ESP, IPCOMP: Proto.COMP}


@pytest.fixture
def ends(pair: Pair) -> Iterator[Ends]:
    load_module("deflate")
    with adapters() as both:
        yield both


def sas(channel: Channel) -> list[Sa]:
    """All but those that the kernel makes by itself beside a compressing tunnel."""
    found = [info.sa for part in channel.dump(DumpSa()) for info in part]
    return [sa for sa in found if sa.proto in NUMBERS.values()]


def policies(channel: Channel) -> dict[Direction, Policy]:
    found = [info.policy for part in channel.dump(DumpPolicy()) for info in part]
    return {Direction(policy.direction): policy for policy in found if policy.direction <= Direction.FWD}


def empty(channel: Channel) -> bool:
    return not sas(channel) and not policies(channel)


def suite(protocol: Protocol) -> str:
    return "sha256" if protocol is AH else "aes128gcm16"


def packets(channel: Channel, one: ChildSa, protocol: Protocol, address: str) -> int:
    """How many packets an inbound SA took."""
    spi = next(spi for proto, spi in spis(one) if proto is protocol)
    return channel.ask(GetSa(SaId(ip_address(address), spi, NUMBERS[protocol]))).usage.packets


def spis(one: ChildSa) -> list[tuple[Protocol, int]]:
    return [(one.protocol, one.spi_in), *((other.protocol, other.spi_in) for other in one.companions)]


@pytest.mark.parametrize("mode", [Mode.TUNNEL, Mode.TRANSPORT])
@pytest.mark.parametrize(("protocol", "beside"), BUNDLES)
def test_every_bundle_carries_packets(
    ends: Ends, pair: Pair, protocol: Protocol, beside: tuple[Protocol, ...], mode: Mode
) -> None:
    outer = selectors(str(LEFT_ADDRESS)), selectors(str(RIGHT_ADDRESS))
    local, remote = (None, None) if mode is Mode.TUNNEL else outer
    mine, theirs = ends.up(
        protocol=protocol, suite=suite(protocol), beside=beside, mode=mode, local=local, remote=remote
    )
    options = INNER if mode is Mode.TUNNEL else ()
    target = ip_address(RIGHT_INNER) if mode is Mode.TUNNEL else RIGHT_ADDRESS
    assert ping(target, *options, *ZEROS)
    assert ping(target, *options)
    for name in (protocol, *beside):
        taken = packets(pair.right, theirs, name, str(RIGHT_ADDRESS))
        assert taken == (1 if name is IPCOMP else 2), f"{name.name} took {taken}"
    usage = ends.left.query(mine)
    assert (usage.packets_in, usage.packets_out) == (2, 2)

    ends.left.remove(mine)
    ends.right.remove(theirs)
    assert empty(pair.left)
    assert empty(pair.right)
    until(lambda: not list(pair.left.dump(DumpSa())), "the kernel's own SAs beside IPComp gone")


def test_the_innermost_sa_makes_the_tunnel(ends: Ends, pair: Pair) -> None:
    ends.up(beside=(AH, IPCOMP))
    found = policies(pair.left)
    layout = [("COMP", "TUNNEL"), ("ESP", "TRANSPORT"), ("AH", "TRANSPORT")]
    for direction, policy in found.items():
        assert [(Proto(one.proto).name, one.mode.name) for one in policy.templates] == layout  # type: ignore[attr-defined]
        assert [one.optional for one in policy.templates] == [direction != Direction.OUT, False, False]
        assert [int(one.src) == 0 for one in policy.templates] == [False, True, True]
    assert {(Proto(sa.proto).name, sa.mode.name) for sa in sas(pair.left)} == set(layout)  # type: ignore[attr-defined]


def test_ah_around_esp_over_ipv6(ends: Ends, pair: Pair) -> None:
    ip_batch("address add fd00:1::1/64 dev wire nodad\nroute add fd00:2::/64 via 2001:db8::2 src fd00:1::1")
    ip_batch("address add fd00:2::1/64 dev wire nodad\nroute add fd00:1::/64 via 2001:db8::1", "-n", "right")
    mine, _ = ends.up(
        path(str(LEFT6), str(RIGHT6)),
        beside=(AH, IPCOMP),
        local=selectors("fd00:1::/64"),
        remote=selectors("fd00:2::/64"),
    )
    assert ping(ip_address("fd00:2::1"), *ZEROS)
    assert ends.left.query(mine).packets_in == 1


def test_cpis_are_those_that_may_be_negotiated(ends: Ends, pair: Pair) -> None:
    cpi = ends.left.alloc_spi(IPCOMP, path())
    assert FIRST_CPI <= cpi <= LAST_CPI
    ends.left.free_spi(IPCOMP, path(), cpi)
    assert empty(pair.left)
    assert ends.left.features.ipcomp


def test_compressed_and_encrypted_through_a_nat(ends: Ends, pair: Pair) -> None:
    way = Path(Endpoint.parse(str(LEFT_ADDRESS), 4500), Endpoint.parse(str(RIGHT_ADDRESS), 34567))
    ends.up(way, beside=(IPCOMP,), encap=True)
    assert {(sa.proto == Proto.ESP, sa.encap is not None) for sa in sas(pair.left)} == {(True, True), (False, False)}


def test_a_successor_has_companions_of_its_own(ends: Ends, pair: Pair) -> None:
    old, peers_old = ends.up(beside=(AH,), seed=1)
    new, peers_new = ends.pair(beside=(AH,), seed=2)
    ends.right.install(peers_new, outbound=False)
    ends.left.install(new)
    ends.left.remove(old, inbound=False)
    assert ping(ip_address(RIGHT_INNER), *INNER)
    assert packets(pair.right, peers_new, AH, str(RIGHT_ADDRESS)) == 1
    ends.right.install(peers_new, inbound=False)
    ends.right.remove(peers_old)
    ends.left.remove(old)
    assert ping(ip_address(RIGHT_INNER), *INNER)
    assert len(sas(pair.left)) == 4
    ends.left.remove(new)
    assert empty(pair.left)


def test_nothing_is_left_when_one_sa_of_the_bundle_cannot_stand(ends: Ends, pair: Pair) -> None:
    mine, _ = ends.pair(beside=(AH, IPCOMP))
    lame = replace(mine.companions[0], suite=None, spi_out=mine.companions[1].spi_out)  # IPComp with AH's name
    mine.particulars = Particulars(companions=(lame, mine.companions[1]))
    with pytest.raises(BackendError):
        ends.left.install(mine)
    assert empty(pair.left)


def test_an_outbound_cpi_that_is_taken_rolls_all_back(ends: Ends, pair: Pair) -> None:
    first, _ = ends.up(beside=(IPCOMP,))
    before = (len(sas(pair.left)), policies(pair.left))
    second, _ = ends.pair(beside=(IPCOMP,), local=selectors("10.9.0.0/16"))
    second.companions[0].spi_out = first.companions[0].spi_out
    with pytest.raises(BackendError, match="another program"):
        ends.left.install(second)
    assert (len(sas(pair.left)), policies(pair.left)) == before


def test_a_limit_on_packets_ends_the_whole_bundle(ends: Ends, pair: Pair) -> None:
    mine, _ = ends.up(beside=(AH,), life_packets=2)
    for _ in range(4):
        ping(ip_address(RIGHT_INNER), *INNER, "-W1")
    until(lambda: list(ends.left.expired()) == [Expired(mine, True)], "the limit told")


def test_what_a_killed_daemon_left_is_swept(ends: Ends, pair: Pair) -> None:
    ends.up(beside=(AH, IPCOMP))
    assert len(sas(pair.left)) == 6
    ends.left.sweep()
    assert empty(pair.left)


def test_a_bundle_moves_as_one(ends: Ends, pair: Pair) -> None:
    mine, theirs = ends.up(beside=(AH,))
    assert ping(ip_address(RIGHT_INNER), *INNER)
    old, old_there = mine.path, theirs.path
    mine.path, theirs.path = moved(old, local="192.0.2.11"), moved(old_there, remote="192.0.2.11")
    ends.left.move(mine, old)
    ends.right.move(theirs, old_there)
    ends.left.remove(mine)
    assert empty(pair.left)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"beside": (AH,), "encap": True}, "AH does not pass a NAT"),
        ({"beside": (AH, AH)}, "one AH at most"),
        ({"beside": (AH,), "local": selectors("fd00::/64"), "remote": selectors("fd01::/64")}, "IPv4 over IPv4"),
    ],
    ids=["nat", "twice", "families"],
)
def test_what_cannot_be_laid_out_is_refused(facts: dict[str, object], why: str) -> None:
    with pytest.raises(BackendError, match=why):
        DryRun().install(child(**facts))  # type: ignore[arg-type]


def test_a_bundle_in_words() -> None:
    plan = DryRun()
    mine = child(beside=(AH, IPCOMP), spi_in=1, spi_out=2)
    plan.install(mine, outbound=False)
    assert plan.steps == [
        "add sa 192.0.2.2 > 192.0.2.1 ipcomp spi 0x00000000 reqid 1 tunnel deflate",
        "add sa 192.0.2.2 > 192.0.2.1 esp spi 0x00000001 reqid 1 transport rfc4106(gcm(aes))",
        "add sa 192.0.2.2 > 192.0.2.1 ah spi 0x00000000 reqid 1 transport hmac(sha256)",
        *(
            f"add policy {way} 192.0.2.12/32 > 192.0.2.11/32 priority 336000 perhaps ipcomp tunnel reqid 1 "
            "192.0.2.2 > 192.0.2.1 esp transport reqid 1 ah transport reqid 1"
            for way in ("in", "fwd")
        ),
    ]


def test_companions_forget_their_keys_too() -> None:
    mine = child(beside=(AH,))
    mine.forget_keys()
    assert mine.keys is None
    assert [one.keys for one in mine.companions] == [None]
    assert companion(AH, 1).keys is not None
