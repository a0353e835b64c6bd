"""Children that move between addresses with traffic on them: counters go along, and no packet number comes twice."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from ipaddress import IPv4Address, ip_address

import pytest

from ikectl.errors import BackendError
from ikectl.sa.child_sa import ChildSa
from ikectl.values.path import Endpoint, Path
from tests.kernel.children import LEFT_INNER, RIGHT_INNER, Ends, adapters, moved
from tests.kernel.test_xfrm_traffic import encap_socket
from tests.kernel.xfrm_pair import RIGHT, RIGHT_ADDRESS, Pair, ip_batch, pair, ping
from tests.lab.namespaces import entered
from xfrm import Channel, DelSa, DumpPolicy, DumpSa, Encap, GetSa, Proto, SaId, SaInfo

__all__ = ["pair"]

ELSEWHERE = "192.0.2.22"
"""A second outer address of the right side."""
ETH_P_IP = 0x0800
ESP = 50


@pytest.fixture
def ends(pair: Pair) -> Iterator[Ends]:
    ip_batch(f"address add {ELSEWHERE}/24 dev wire", "-n", RIGHT)
    with adapters() as both:
        yield both


def reached() -> bool:
    return ping(ip_address(RIGHT_INNER), "-I", LEFT_INNER)


def infos(channel: Channel) -> dict[int, SaInfo]:
    """The SAs by SPI; there is one of each."""
    found = [info for part in channel.dump(DumpSa()) for info in part]
    assert len({info.sa.spi for info in found}) == len(found)
    return {info.sa.spi: info for info in found}


def follow(ends: Ends, mine: ChildSa, theirs: ChildSa, address: str) -> None:
    """The right side is at `address` from now on; both ends see to it."""
    before, behind = mine.path, theirs.path
    mine.path, theirs.path = moved(before, remote=address), moved(behind, local=address)
    ends.right.move(theirs, behind)
    ends.left.move(mine, before)


@contextmanager
def sniffing() -> Iterator[list[tuple[int, int, str]]]:
    """(SPI, sequence number, destination) of every ESP packet that passes our end of the cable."""
    seen: list[tuple[int, int, str]] = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as sock:  # ETH_P_ALL: both directions
        sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        sock.bind(("wire", 3))
        sock.setblocking(False)
        try:
            yield seen
        finally:
            while True:
                try:
                    packet, (_, protocol, *_) = sock.recvfrom(4096)
                except BlockingIOError:
                    break
                if protocol == ETH_P_IP and packet[9] == ESP:
                    spi, number = struct.unpack_from("!II", packet, 4 * (packet[0] & 15))
                    seen.append((spi, number, str(ip_address(packet[16:20]))))


@contextmanager
def listening(*ports: int, right: bool = False) -> Iterator[None]:
    """Sockets from which the kernel takes ESP, on one of the sides."""
    with ExitStack() as sockets:
        with entered(RIGHT) if right else nullcontext():
            for port in ports:
                sockets.enter_context(encap_socket(IPv4Address(0), port))
        yield


@pytest.mark.conformance("v2-107")
@pytest.mark.parametrize("suite", ["aes128gcm16", "aes128gcm16-esn", "aes128-sha256"])
def test_moved_again_and_again_under_traffic_no_number_comes_twice(ends: Ends, pair: Pair, suite: str) -> None:
    """Two hundred echo requests a second, forty moves: each (SPI, number) is on the wire once, and none is replayed."""
    mine, theirs = ends.up(suite=suite, replay_window=64)
    command = ["ping", "-n", "-i0.005", "-I", LEFT_INNER, RIGHT_INNER]
    with sniffing() as seen, subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        for turn in range(40):
            follow(ends, mine, theirs, ELSEWHERE if turn % 2 == 0 else str(RIGHT_ADDRESS))
        process.terminate()
        process.communicate()
        assert reached()
    assert len(seen) > 20
    assert {destination for _, _, destination in seen} >= {str(RIGHT_ADDRESS), ELSEWHERE}
    assert [each for each, times in Counter((spi, number) for spi, number, _ in seen).items() if times > 1] == []
    for channel in (pair.left, pair.right):
        for info in infos(channel).values():
            assert (info.stats.replay, info.stats.replay_window, info.stats.integrity_failed) == (0, 0, 0)
    sent = max(number for spi, number, _ in seen if spi == mine.spi_out)
    assert infos(pair.left)[mine.spi_out].sa.replay.oseq == sent
    assert infos(pair.right)[theirs.spi_in].sa.replay.seq == sent


@pytest.mark.conformance("v2-107")
@pytest.mark.parametrize("window", [32, 64, 256])
def test_counters_and_windows_go_along(ends: Ends, pair: Pair, window: int) -> None:
    mine, theirs = ends.up(replay_window=window, life_bytes=10_000)
    assert all(reached() for _ in range(3))
    before = infos(pair.left), infos(pair.right)
    follow(ends, mine, theirs, ELSEWHERE)
    for earlier, now in zip(before, (infos(pair.left), infos(pair.right)), strict=True):
        assert earlier.keys() == now.keys()
        for spi, info in earlier.items():
            assert now[spi].sa.replay == info.sa.replay
            assert (now[spi].usage.octets, now[spi].usage.packets) == (info.usage.octets, info.usage.packets)
            assert now[spi].usage.added_at == info.usage.added_at
            assert now[spi].sa.lifetime == info.sa.lifetime
    inward = infos(pair.left)[mine.spi_in].sa
    assert inward.replay.seq == 3 and inward.replay.bitmap == 0b111
    assert str(inward.src) == ELSEWHERE


def test_a_packet_from_before_is_not_taken_again(ends: Ends, pair: Pair) -> None:
    """What was received before the move is known as a replay after it, wherever it now goes to."""
    mine, theirs = ends.up(replay_window=64)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as sock:
        sock.bind(("wire", 3))
        sock.settimeout(10)
        assert reached()
        packet = next(octets for octets in iter(lambda: sock.recv(4096), b"") if octets[9] == ESP)
    follow(ends, mine, theirs, ELSEWHERE)
    esp = packet[4 * (packet[0] & 15) :]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, ESP) as raw:
        raw.sendto(esp, (ELSEWHERE, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, ESP) as raw:
        raw.sendto(esp, (ELSEWHERE, 0))
    assert reached()
    info = infos(pair.right)[theirs.spi_in]
    assert info.stats.replay == 2 and info.usage.packets == 2


def test_both_children_of_a_rekeying_move(ends: Ends, pair: Pair) -> None:
    """They share a reqid and a policy; either is found, and the policy is right in between and after."""
    old, peers_old = ends.up()
    new, peers_new = ends.pair(seed=2)
    new.policies = old.policies
    ends.right.install(peers_new, outbound=False)
    ends.left.install(new)
    follow(ends, old, peers_old, ELSEWHERE)
    follow(ends, new, peers_new, ELSEWHERE)
    assert {str(info.sa.dst) for info in infos(pair.left).values()} == {"192.0.2.1", ELSEWHERE}
    templates = [
        template for part in pair.left.dump(DumpPolicy()) for each in part for template in each.policy.templates
    ]
    assert templates and all(ELSEWHERE in (str(each.src), str(each.dst)) for each in templates)
    assert reached()


def test_ports_alone_change_in_place(ends: Ends, pair: Pair) -> None:
    """A NAT's new port: the SA is the same one, and goes on counting."""
    at = Path(Endpoint.parse("192.0.2.1", 4500), Endpoint.parse(str(RIGHT_ADDRESS), 4500))
    with listening(4500), listening(4500, 5500, right=True):
        mine, theirs = ends.up(at, encap=True)
        assert reached()
        before = infos(pair.left)
        elsewhere = Path(at.local, replace(at.remote, port=5500))
        old, mine.path = mine.path, elsewhere
        ends.left.move(mine, old)
        old, theirs.path = theirs.path, Path(elsewhere.remote, elsewhere.local)
        ends.right.move(theirs, old)
        after = infos(pair.left)
        assert after[mine.spi_out].sa.encap == Encap(4500, 5500)
        assert after[mine.spi_in].sa.encap == Encap(5500, 4500)
        for spi, info in before.items():
            assert after[spi].usage == info.usage and after[spi].sa.replay == info.sa.replay
        assert reached()
        assert infos(pair.left)[mine.spi_out].sa.replay.oseq == 2


def test_encapsulation_comes_and_goes(ends: Ends, pair: Pair) -> None:
    """A NAT appears on the new path, and is gone on the next one (RFC 4555 §3.5)."""
    with listening(4500), listening(4500, right=True):
        mine, theirs = ends.up(Path(Endpoint.parse("192.0.2.1", 4500), Endpoint.parse(str(RIGHT_ADDRESS), 4500)))
        assert reached()
        for encap, address in ((True, ELSEWHERE), (False, str(RIGHT_ADDRESS))):
            mine.encap = theirs.encap = encap
            follow(ends, mine, theirs, address)
            assert all((info.sa.encap is not None) is encap for info in infos(pair.left).values())
            assert reached()
    assert infos(pair.left)[mine.spi_out].sa.replay.oseq == 3


def test_what_is_gone_cannot_move_and_nothing_goes_out_bare(ends: Ends, pair: Pair) -> None:
    mine, theirs = ends.up()
    old = mine.path
    pair.left.ask(DelSa(SaId(RIGHT_ADDRESS, mine.spi_out, Proto.ESP)))
    mine.path = moved(old, remote=ELSEWHERE)
    with pytest.raises(BackendError, match=r"SA"):
        ends.left.move(mine, old)
    assert not ping(ip_address(RIGHT_INNER), "-I", LEFT_INNER, wait=1)
    ends.left.remove(mine)
    assert not set(infos(pair.left)) - {0}, "but for what the kernel notes while it asks for an SA"
    assert pair.right.ask(GetSa(SaId(RIGHT_ADDRESS, theirs.spi_in, Proto.ESP))).usage.packets == 0


@pytest.mark.conformance("v2-42")
@pytest.mark.parametrize("suite", ["aes128gcm16", "aes128gcm16-esn", "aes128-sha256"])
def test_numbers_are_left_out_under_traffic_and_none_comes_twice(ends: Ends, pair: Pair, suite: str) -> None:
    """RFC 6311 §5.2, many times over while packets go: what is sent jumps ahead, and the other side takes it."""
    mine, theirs = ends.up(suite=suite, replay_window=64)
    command = ["ping", "-n", "-i0.005", "-I", LEFT_INNER, RIGHT_INNER]
    with sniffing() as seen, subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        for _ in range(20):
            ends.left.skip(mine, 100_000)
        process.terminate()
        process.communicate()
        assert reached()
    assert [each for each, times in Counter((spi, number) for spi, number, _ in seen).items() if times > 1] == []
    sent = max(number for spi, number, _ in seen if spi == mine.spi_out)
    assert sent > 2_000_000 and infos(pair.left)[mine.spi_out].sa.replay.oseq == sent
    assert infos(pair.right)[theirs.spi_in].sa.replay.seq == sent


@pytest.mark.conformance("v2-42")
def test_more_numbers_than_are_left_are_not_left_out(ends: Ends, pair: Pair) -> None:
    mine, _ = ends.up(replay_window=64)
    assert reached()
    before = infos(pair.left)[mine.spi_out].sa.replay
    with pytest.raises(BackendError, match="not so many packet numbers left"):
        ends.left.skip(mine, 2**32 - 2)
    assert infos(pair.left)[mine.spi_out].sa.replay == before and reached()
