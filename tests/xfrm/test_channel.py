"""One send, many answers: who gets which, and what a channel makes of odd ones."""

import errno
import socket
from ipaddress import ip_address

import pytest

from tests.xfrm.kernel import DONE, INTERRUPTED, MULTI, Kernel, acknowledgement, message
from xfrm import (
    Aead,
    Channel,
    DelSa,
    Denied,
    DumpPolicy,
    DumpSa,
    Exists,
    FlushPolicy,
    GetSa,
    GetSadInfo,
    Gone,
    Interrupted,
    Invalid,
    Malformed,
    NewSa,
    Sa,
    SadInfo,
    SaId,
    Unsupported,
)
from xfrm.messages import walk
from xfrm.uapi import Type

A, B = ip_address("192.0.2.1"), ip_address("192.0.2.2")
SA = Sa(A, B, 0x1234, aead=Aead("rfc4106(gcm(aes))", bytes(range(20)), 128))


def sad_info(seq: int, count: int) -> bytes:
    octets = bytes(4) + bytes.fromhex("08000100") + count.to_bytes(4, "little")
    return message(Type.NEWSADINFO, seq, octets + bytes.fromhex("0c000200 08000000 00100000"))


def test_one_send_and_each_its_answer() -> None:
    with Kernel() as kernel:
        kernel.will_say(
            acknowledgement(1),
            sad_info(2, 9),
            acknowledgement(3, errno.ESRCH),
            acknowledgement(4),
        )
        outcomes = kernel.channel.batch([NewSa(SA), GetSadInfo(), DelSa(SA.id), FlushPolicy()])
        assert outcomes[0] is None
        assert outcomes[1] == SadInfo(9, 8, 4096)
        assert isinstance(outcomes[2], Gone)
        assert outcomes[3] is None
        assert [m.seq for m in walk(kernel.was_told())] == [1, 2, 3, 4]


def test_answers_in_another_order_and_several_to_a_datagram() -> None:
    with Kernel() as kernel:
        kernel.will_say(acknowledgement(3, errno.EEXIST) + sad_info(1, 5), acknowledgement(2))
        outcomes = kernel.channel.batch([GetSadInfo(), FlushPolicy(), NewSa(SA)])
        assert outcomes[:2] == [SadInfo(5, 8, 4096), None]
        assert isinstance(outcomes[2], Exists)


def test_the_rest_of_an_older_exchange_is_passed_over() -> None:
    with Kernel() as kernel:
        kernel.will_say(acknowledgement(1), acknowledgement(1, errno.EPERM), acknowledgement(77), acknowledgement(2))
        assert kernel.channel.ask(FlushPolicy()) is None
        assert kernel.channel.ask(FlushPolicy()) is None


def test_a_second_answer_does_not_replace_the_first() -> None:
    with Kernel() as kernel:
        kernel.will_say(acknowledgement(1), acknowledgement(1, errno.EPERM), acknowledgement(2))
        assert kernel.channel.batch([FlushPolicy(), FlushPolicy()]) == [None, None]


def test_large_batches_go_in_several_sends() -> None:
    with Kernel() as kernel:
        kernel.will_say(b"".join(acknowledgement(n) for n in range(1, 101)))
        kernel.will_say(b"".join(acknowledgement(n) for n in range(65, 101)))
        assert kernel.channel.batch([FlushPolicy()] * 100) == [None] * 100
        assert [m.seq for m in walk(kernel.was_told())] == list(range(1, 65))
        assert [m.seq for m in walk(kernel.was_told())] == list(range(65, 101))


def test_an_empty_batch_sends_nothing() -> None:
    with Kernel() as kernel:
        assert kernel.channel.batch([]) == []
        kernel.will_say(acknowledgement(1))
        kernel.channel.ask(FlushPolicy())
        assert [m.seq for m in walk(kernel.was_told())] == [1]


def test_nothing_is_sent_when_one_cannot_be_packed() -> None:
    wrong = Sa(A, B, 1 << 32, aead=Aead("rfc4106(gcm(aes))", b"secret", 128))
    with Kernel() as kernel:
        with pytest.raises(ValueError, match="NEWSA"):
            kernel.channel.batch([FlushPolicy(), NewSa(wrong)])
        kernel.will_say(acknowledgement(1))
        kernel.channel.ask(FlushPolicy())
        assert len(list(walk(kernel.was_told()))) == 1


def test_the_kernels_words_are_in_the_error() -> None:
    with Kernel() as kernel:
        kernel.will_say(acknowledgement(1, errno.EINVAL, "Invalid replay window size"))
        with pytest.raises(Invalid) as caught:
            kernel.channel.ask(NewSa(SA))
    assert caught.value.kernel == "Invalid replay window size"
    assert caught.value.errno == errno.EINVAL
    assert str(caught.value) == (
        "[Errno 22] NEWSA esp 192.0.2.1 > 192.0.2.2 spi 0x00001234: invalid argument (Invalid replay window size)"
    )


def test_words_behind_a_repeated_request() -> None:
    """Without CAP_ACK the whole request stands between the code and the words."""
    request = NewSa(SA).encode(1)
    text = b"because\0"
    payload = (-errno.EINVAL).to_bytes(4, "little", signed=True) + request
    payload += (4 + len(text)).to_bytes(2, "little") + b"\1\0" + text
    with Kernel() as kernel:
        kernel.will_say(message(2, 1, payload, 0x200))
        with pytest.raises(Invalid) as caught:
            kernel.channel.ask(NewSa(SA))
        assert caught.value.kernel == "because"


@pytest.mark.parametrize(
    ("code", "why", "lacking"),
    [
        (errno.EPROTONOSUPPORT, "Requested type not found", "esp for IPv4"),
        (errno.EPROTONOSUPPORT, "", "esp for IPv4"),
        (errno.EPROTONOSUPPORT, "Requested mode not found", "mode tunnel"),
        (errno.ENOSYS, "Requested AEAD algorithm not found", "rfc4106(gcm(aes)) with 160 bits of key"),
        (errno.ENOENT, "", "rfc4106(gcm(aes)) with 160 bits of key"),
    ],
)
def test_what_a_kernel_lacks(code: int, why: str, lacking: str) -> None:
    with Kernel() as kernel:
        kernel.will_say(acknowledgement(1, code, why))
        with pytest.raises(Unsupported) as caught:
            kernel.channel.ask(NewSa(SA))
        assert f"this kernel lacks {lacking}" in str(caught.value)
        assert lacking in (caught.value.protocol, *caught.value.algorithms)


@pytest.mark.parametrize(
    "octets",
    [
        b"\1\2\3",
        bytes(16),
        message(2, 1, b"\0\0"),
        message(Type.NEWSADINFO, 1, b""),
        message(0x4711, 1, bytes(300)),
        message(Type.NEWSA, 1, bytes(20)),
        (1 << 20).to_bytes(4, "little") + bytes(12),
    ],
)
def test_octets_of_no_shape(octets: bytes) -> None:
    with Kernel() as kernel:
        kernel.will_say(octets)
        with pytest.raises(Malformed):
            kernel.channel.ask(GetSadInfo())


def test_an_empty_datagram_says_nothing() -> None:
    with Kernel() as kernel:
        kernel.will_say(b"", sad_info(1, 3))
        assert kernel.channel.ask(GetSadInfo()).count == 3


def test_the_wrong_kind_of_answer() -> None:
    with Kernel() as kernel:
        kernel.will_say(sad_info(1, 3))
        with pytest.raises(Malformed, match="0x22"):
            kernel.channel.ask(GetSa(SaId(B, 1)))


def test_a_dump_in_pieces() -> None:
    policies = NewSa(SA).encode(0)[16:]
    with Kernel() as kernel:
        kernel.will_say(
            message(Type.NEWSA, 1, policies, MULTI) * 2,
            message(Type.NEWSA, 1, policies, MULTI),
            acknowledgement(1, kind=DONE),
        )
        pieces = list(kernel.channel.dump(DumpSa()))
        assert [len(piece) for piece in pieces] == [2, 1]
        assert {info.sa for piece in pieces for info in piece} == {SA}


def test_a_dump_of_nothing() -> None:
    with Kernel() as kernel:
        kernel.will_say(acknowledgement(1, kind=DONE))
        assert list(kernel.channel.dump(DumpPolicy())) == []


def test_a_dump_refused_at_its_end() -> None:
    with Kernel() as kernel:
        kernel.will_say(acknowledgement(1, errno.EPERM, "no", kind=DONE))
        with pytest.raises(Denied, match="no"):
            list(kernel.channel.dump(DumpPolicy()))


def test_a_dump_refused_at_once() -> None:
    with Kernel() as kernel:
        kernel.will_say(acknowledgement(1, errno.EPERM))
        with pytest.raises(Denied):
            list(kernel.channel.dump(DumpPolicy()))


def test_a_dump_that_a_change_interrupted() -> None:
    octets = NewSa(SA).encode(0)[16:]
    with Kernel() as kernel:
        kernel.will_say(
            message(Type.NEWSA, 1, octets, MULTI | INTERRUPTED) + acknowledgement(1, kind=DONE),
        )
        found = []
        with pytest.raises(Interrupted):
            for piece in kernel.channel.dump(DumpSa()):
                found += piece
        assert [info.sa for info in found] == [SA]


def test_a_closed_kernel() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.close()
    with Channel(sock=ours) as channel:
        outcomes = channel.batch([FlushPolicy(), NewSa(SA)])
        assert len(outcomes) == 2
        assert all(isinstance(outcome, Unsupported) for outcome in outcomes)
