"""What reading and writing of messages costs: `python -m benchmarks.wire [--json]`.

Microseconds of CPU for one message, the best of many short runs, warm: the
offer was seen before, as it is when many clients share a configuration.
`cold` reads offers nobody sent yet. Each run reads octets of its own, so that
no hash of a bytes object is remembered.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

from ikectl.iana.v2 import (
    AuthMethod,
    ExchangeType,
    HashAlgorithm,
    IdType,
    KeyExchangeMethod,
    NotifyType,
    Protocol,
    TransformType,
)
from ikectl.values.selector import TrafficSelector
from ikectl.wire.header import Header
from ikectl.wire.payload import Payload, write_chain
from ikectl.wire.v2 import (
    AUTH,
    KE,
    SA,
    IDi,
    IDr,
    Message,
    Nonce,
    Notify,
    Proposal,
    Transform,
    TSi,
    TSr,
    open_sealed,
    seal,
)
from ikectl.wire.v2.notify import INITIAL_CONTACT, MOBIKE_SUPPORTED, signature_hashes_notify

ROUNDS = 2000
PER_ROUND = 20

ENCR, PRF, INTEG, DH, ESN = (TransformType(number) for number in range(1, 6))
IKE_OFFER = (
    Proposal(
        1,
        Protocol.IKE,
        b"",
        (
            Transform(ENCR, 20, 256),
            Transform(ENCR, 20, 128),
            Transform(PRF, 6),
            Transform(PRF, 5),
            Transform(DH, 31),
            Transform(DH, 19),
        ),
    ),
    Proposal(
        2, Protocol.IKE, b"", (Transform(ENCR, 12, 256), Transform(INTEG, 12), Transform(PRF, 5), Transform(DH, 14))
    ),
)
ESP_OFFER = (
    Proposal(1, Protocol.ESP, b"\xc0\xff\xee\x01", (Transform(ENCR, 20, 256), Transform(ESN, 0))),
    Proposal(2, Protocol.ESP, b"\xc0\xff\xee\x01", (Transform(ENCR, 12, 256), Transform(INTEG, 12), Transform(ESN, 0))),
)
HASHES = signature_hashes_notify(
    (HashAlgorithm.SHA2_256, HashAlgorithm.SHA2_384, HashAlgorithm.SHA2_512, HashAlgorithm.IDENTITY)
)


class Clear:
    """Leaves everything as it is: what is measured is framing, not ciphers."""

    iv_octets = 8
    icv_octets = 16
    block_octets = 1

    def seal(self, iv: bytes, associated: bytes, plain: bytes, /) -> bytes:
        return plain + bytes(16)

    def open(self, iv: bytes, associated: bytes, sealed: bytes, /) -> bytes:
        return sealed[:-16]


def message(exchange: ExchangeType, payloads: list[Payload]) -> Message:
    return Message(b"initator", b"resp-der", exchange, 0, False, True, payloads)


def sa_init(offer: tuple[Proposal, ...] = IKE_OFFER) -> Message:
    return message(
        ExchangeType.IKE_SA_INIT,
        [
            SA(offer),
            KE(KeyExchangeMethod.CURVE_25519, b"\x99" * 32),
            Nonce(b"\x77" * 32),
            Notify(NotifyType.NAT_DETECTION_SOURCE_IP, b"\x11" * 20),
            Notify(NotifyType.NAT_DETECTION_DESTINATION_IP, b"\x22" * 20),
            HASHES,
        ],
    )


def auth() -> Message:
    return message(
        ExchangeType.IKE_AUTH,
        [
            IDi(IdType.FQDN, b"client-1234.example.org"),
            INITIAL_CONTACT,
            IDr(IdType.FQDN, b"gw.example.org"),
            AUTH(AuthMethod.SHARED_KEY_MIC, b"\x55" * 32),
            SA(ESP_OFFER),
            TSi((TrafficSelector.of_network("10.1.2.3"),)),
            TSr((TrafficSelector.of_network("10.2.0.0/16"),)),
            MOBIKE_SUPPORTED,
        ],
    )


def chosen() -> Message:
    """What a responder writes in IKE_SA_INIT: one proposal, one transform of each type."""
    proposal = IKE_OFFER[0]._replace(transforms=IKE_OFFER[0].transforms[::2])
    return sa_init((proposal,))


def measured(functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """CPU microseconds of one call each. The cases take turns, so that all of them meet the quiet moments."""
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(ROUNDS):
        for case, function in functions.items():
            before = time.perf_counter_ns()
            for _ in range(PER_ROUND):
                function()
            best[case] = min(best[case], (time.perf_counter_ns() - before) / PER_ROUND / 1000)
    return best


def fresh(octets: bytes) -> bytes:
    return bytes(bytearray(octets))


def cases() -> dict[str, Callable[[], object]]:
    init, auth_message, answer = sa_init(), auth(), chosen()
    init_octets, auth_octets = init.write(), seal(auth_message, Clear(), bytes(8))
    count = iter(range(1 << 30))

    def read_cold() -> Message:
        number = next(count)
        offer = tuple(
            each._replace(transforms=(*each.transforms, Transform(ENCR, number & 0xFFFF, number >> 16)))
            for each in IKE_OFFER
        )
        return Message.read(fresh(sa_init(offer).write()))

    def write_cold() -> bytes:
        number = next(count)
        offer = tuple(
            each._replace(transforms=(*each.transforms, Transform(ENCR, number & 0xFFFF, number >> 16)))
            for each in IKE_OFFER
        )
        return fresh(sa_init(offer).write())

    def read_and_look() -> object:
        read = Message.read(fresh(init_octets))
        return read.one(SA), read.one(KE), read.one(Nonce), read.notify(NotifyType.COOKIE)

    def open_auth() -> Message:
        datagram = fresh(auth_octets)
        return open_sealed(Header.read(datagram), datagram, Clear())

    return {
        "IKE_SA_INIT read": lambda: Message.read(fresh(init_octets)),
        "IKE_SA_INIT read, looked up": read_and_look,
        "IKE_SA_INIT written": init.write,
        "IKE_SA_INIT answer written": answer.write,
        "IKE_SA_INIT cold, built and written": write_cold,
        "IKE_SA_INIT cold, built, written, read": read_cold,
        "IKE_AUTH opened and read": open_auth,
        "IKE_AUTH written and sealed": lambda: seal(auth_message, Clear(), bytes(8)),
        "IKE_AUTH payloads written": lambda: write_chain(auth_message.payloads),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="a list of objects with case and cpu_us")
    arguments = parser.parse_args()
    results = [{"case": case, "cpu_us": round(cpu_us, 2)} for case, cpu_us in measured(cases()).items()]
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    for result in results:
        print(f"{result['case']:<40} {result['cpu_us']:>8} µs")


if __name__ == "__main__":
    main()
