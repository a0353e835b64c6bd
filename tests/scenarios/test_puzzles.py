"""Client puzzles: who is asked to work, who is let in for it, and what strangers cannot do with them (RFC 8019)."""

from __future__ import annotations

import pytest

from ikectl.crypto import puzzle
from ikectl.crypto.transforms import PRF_BY_ID
from ikectl.engine.router import PUZZLES_TOLD_EVERY
from ikectl.iana.v2 import KeyExchangeMethod, NotifyType, PayloadType, PrfId, Protocol, TransformType
from ikectl.sa.env import Settings
from ikectl.sa.events import Note
from ikectl.wire.payload import Payload, Unknown
from ikectl.wire.v2.keying import KE, Nonce
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.puzzle import Demand, PuzzleSolution
from ikectl.wire.v2.puzzle import puzzle as asked_by
from ikectl.wire.v2.sa import SA, Proposal, Transform
from tests.scenarios.stage import bare, gateways, notifies, wait
from tests.sim.forge import Stranger, chain_of
from tests.sim.host import Host
from tests.sim.site import MOON, SUN, connection
from tests.sim.wiretap import Wiretap
from tests.sim.world import World

BITS = 6
BOTH_ASKED = [NotifyType.COOKIE, NotifyType.PUZZLE]


def under_load(**settings: float) -> dict[str, Settings]:
    """A responder that asks everybody for a small puzzle, and draws nobody."""
    chosen = {"puzzle_threshold": 0, "puzzle_difficulty": BITS, "puzzle_legacy": 0.0, **settings}
    return {"settings": Settings(**chosen)}  # type: ignore[arg-type]


def solved(cookie: Notify, demand: Demand, bits: int | None = None) -> PuzzleSolution:
    """A solution; with other `bits` than asked, perhaps none."""
    wanted = demand.bits if bits is None else bits
    return PuzzleSolution(puzzle.search(PRF_BY_ID[demand.prf].prf, cookie.data, wanted, 0, 1 << 22, 4))


def demanded(stranger: Stranger, payloads: list[Payload]) -> tuple[Notify, Demand]:
    """The cookie and the puzzle that an IKE_SA_INIT is answered with."""
    (answer,) = stranger.ask(payloads)
    assert notifies(answer.message) == BOTH_ASKED and answer.message.spi_r == bytes(8)
    cookie, asked = answer.message.payloads
    assert isinstance(cookie, Notify) and isinstance(asked, Notify)
    return cookie, asked_by(asked)


def is_open(stranger: Stranger, payloads: list[Payload]) -> bool:
    """Whether the request makes a half-open SA."""
    answers = stranger.ask(payloads)
    return bool(answers) and answers[0].message.get(KE) is not None


# -- the responder ---------------------------------------------------------------


def test_who_solves_the_puzzle_gets_in() -> None:
    """HDR, SA, KE, Ni -->  <-- HDR, N(COOKIE), N(PUZZLE);  HDR, N(COOKIE), PS, SA, KE, Ni -->  <-- HDR, SA, KE, Nr."""
    site, wire = gateways(sun_host=under_load())
    stranger = Stranger(wire, site.sun, MOON)
    payloads = stranger.initial()
    cookie, demand = demanded(stranger, payloads)
    assert demand == Demand(PrfId.HMAC_SHA2_256, BITS), "a prf out of the offer (§7.1.1.2)"
    assert bare(site.sun) and site.sun.engine.half_open == 0, "nothing is kept of who did not solve it"
    assert demanded(stranger, payloads) == (cookie, demand), "nor does it change by asking"
    assert is_open(stranger, [cookie, solved(cookie, demand), *payloads])
    assert site.sun.engine.half_open == 1


def test_what_is_no_solution_gets_a_puzzle_again() -> None:
    """No PS, one of fewer bits, of other keys, of another cookie; or a good one with a cookie of nobody's."""
    site, wire = gateways(sun_host=under_load())
    stranger = Stranger(wire, site.sun, MOON)
    payloads = stranger.initial()
    cookie, demand = demanded(stranger, payloads)
    good = solved(cookie, demand)
    junk = Notify(NotifyType.COOKIE, cookie.data[:-1] + b"x")
    easier = bytes((*cookie.data[:3], 0, *cookie.data[4:]))
    attempts: list[list[Payload]] = [
        [cookie],
        [cookie, PuzzleSolution(tuple(bytes((0, 0, 0, n)) for n in range(4)))],
        [cookie, PuzzleSolution((good.keys[0],) * 4)],
        [cookie, solved(junk, demand)],
        [junk, solved(junk, demand)],
        [Notify(NotifyType.COOKIE, easier), solved(Notify(NotifyType.COOKIE, easier), demand)],
        [good],
    ]
    for attempt in attempts:
        assert demanded(stranger, [*attempt, *payloads]) == (cookie, demand)
    other = Stranger(wire, site.sun, "203.0.113.77")
    other.spi = stranger.spi
    demanded(other, [cookie, good, *payloads])
    demanded(stranger, [cookie, good, *payloads[:2], Nonce(bytes(32))])
    assert bare(site.sun) and site.sun.engine.half_open == 0
    assert not stranger.ask([cookie, good, good, *payloads]), "two solutions are none"
    assert is_open(stranger, [cookie, good, *payloads])


def test_a_solution_makes_one_half_open_sa_at_a_time() -> None:
    """The same cookie and PS with ever other keys: one key exchange, not one for each datagram."""
    site, wire = gateways(sun_host=under_load())
    stranger = Stranger(wire, site.sun, MOON)
    payloads = stranger.initial()
    cookie, demand = demanded(stranger, payloads)
    good = solved(cookie, demand)
    assert is_open(stranger, [cookie, good, *payloads])
    for _ in range(5):
        ke = stranger.initial()[1]
        assert not stranger.ask([cookie, good, payloads[0], ke, payloads[2]])
    assert is_open(stranger, [cookie, good, *payloads]), "a repeated request gets its answer again"
    assert site.sun.engine.half_open == 1


def test_a_correction_of_the_group_costs_no_second_puzzle() -> None:
    """HDR, N(COOKIE), PS, SA, KE(31) -->  <-- HDR, N(INVALID_KE_PAYLOAD);  the same with KE(19) --> <-- HDR, SA, KE."""
    site, wire = gateways(ike="aes128gcm16-prfsha256-ecp256", sun_host=under_load())
    stranger = Stranger(wire, site.sun, MOON)
    payloads = stranger.initial("aes128gcm16-prfsha256-x25519-ecp256")
    cookie, demand = demanded(stranger, payloads)
    good = solved(cookie, demand)
    (refusal,) = stranger.ask([cookie, good, *payloads])
    assert notifies(refusal.message) == [NotifyType.INVALID_KE_PAYLOAD]
    ke = stranger.initial("aes128gcm16-prfsha256-ecp256", KeyExchangeMethod.ECP_256)[1]
    assert is_open(stranger, [cookie, good, payloads[0], ke, payloads[2]])


def test_without_a_prf_in_common_there_is_no_puzzle() -> None:
    """HDR, SA(prf of Streebog) -->  <-- HDR, N(NO_PROPOSAL_CHOSEN): no SA could come of it anyway (§7.1.1.2)."""
    site, wire = gateways(sun_host=under_load())
    stranger = Stranger(wire, site.sun, MOON)
    _, ke, nonce = stranger.initial()
    unknown = SA((Proposal(1, Protocol.IKE, b"", (Transform(TransformType.PRF, PrfId.HMAC_STREEBOG_512),)),))
    (answer,) = stranger.ask([unknown, ke, nonce])
    assert notifies(answer.message) == [NotifyType.NO_PROPOSAL_CHOSEN] and bare(site.sun)


def test_a_prf_of_aes_has_keys_of_its_own_length() -> None:
    site, wire = gateways(ike="aes128gcm16-prfaesxcbc-x25519", sun_host=under_load())
    stranger = Stranger(wire, site.sun, MOON)
    payloads = stranger.initial("aes128gcm16-prfaesxcbc-x25519")
    cookie, demand = demanded(stranger, payloads)
    good = solved(cookie, demand)
    assert demand.prf is PrfId.AES128_XCBC and {len(key) for key in good.keys} == {16}
    assert is_open(stranger, [cookie, good, *payloads])


def test_each_half_open_sa_of_an_address_makes_the_next_dearer() -> None:
    """6, 7, 8 bits and so on, and no sixth SA at all; the neighbour begins with 6."""
    site, wire = gateways(sun={"remote": "%any"}, sun_host=under_load())
    asked = []
    for number in range(5):
        stranger = Stranger(wire, site.sun, MOON, seed=number)
        payloads = stranger.initial()
        cookie, demand = demanded(stranger, payloads)
        asked.append(demand.bits)
        assert is_open(stranger, [cookie, solved(cookie, demand), *payloads])
    assert asked == [6, 7, 8, 9, 10]
    assert not Stranger(wire, site.sun, MOON, seed=9).ask(), "the limit of an address holds for who solves puzzles, too"
    neighbour = Stranger(wire, site.sun, "192.0.2.2")
    assert demanded(neighbour, neighbour.initial())[1].bits == 6


def test_in_a_flood_those_get_in_who_work() -> None:
    """A hundred addresses with cookies and no solution, and ten honest ones: the ten places left are theirs."""
    gateway = Host("gateway", SUN, 1, settings=Settings(puzzle_threshold=20, puzzle_difficulty=BITS, puzzle_legacy=0.0))
    gateway.load(connection(local=SUN, remote="%any", local_id="sun.example.org", remote_id="%any"))
    wire = Wiretap(World(1, gateway))
    let_in = {True: 0, False: 0}
    for number in range(110):
        honest = number % 11 == 10
        stranger = Stranger(wire, gateway, f"203.0.{number}.1", seed=number)
        payloads = stranger.initial()
        (answer,) = stranger.ask(payloads)
        shown = [each for each in answer.message.payloads if isinstance(each, Notify)]
        if answer.message.get(KE) is None:
            asked = [each for each in shown if each.type is NotifyType.PUZZLE]
            work = [solved(shown[0], asked_by(asked[0]))] if honest and asked else []
            (answer,) = stranger.ask([shown[0], *work, *payloads])
        if answer.message.get(KE) is not None:
            let_in[honest] += 1
    assert let_in == {True: 10, False: 19}, "until the threshold cookies do, then work alone"
    wire.world.run(40)
    assert bare(gateway) and gateway.engine.half_open == 0


def test_a_few_are_drawn_who_do_not_know_puzzles() -> None:
    """Two a second; who answers a puzzle with a wrong solution takes part in no draw."""
    gateway = Host("gateway", SUN, 1, **under_load(puzzle_legacy=2.0))
    gateway.load(connection(local=SUN, remote="%any", local_id="sun.example.org", remote_id="%any"))
    wire = Wiretap(World(1, gateway))
    drawn = 0
    for number in range(40):
        stranger = Stranger(wire, gateway, f"203.0.{number}.1", seed=number)
        payloads = stranger.initial()
        cookie, _ = demanded(stranger, payloads)
        demanded(stranger, [cookie, PuzzleSolution((b"a", b"b", b"c", b"d")), *payloads])
        drawn += is_open(stranger, [cookie, *payloads])
    assert drawn == 2 == gateway.engine.half_open


def test_the_operator_is_told_once_in_a_while() -> None:
    site, wire = gateways(sun_host=under_load())
    for number in range(5):
        Stranger(wire, site.sun, MOON, seed=number).ask()
    (note,) = [note for note in site.sun.saw(Note) if "puzzle" in note.why]
    assert note.why.startswith("0 half-open IKE SAs: whoever calls has to solve a puzzle of 6 bits first")
    wait(site, PUZZLES_TOLD_EVERY + 1)
    Stranger(wire, site.sun, MOON, seed=9).ask()
    assert len([note for note in site.sun.saw(Note) if "puzzle" in note.why]) == 2


@pytest.mark.parametrize("octets", [0, 1, 3, 260])
def test_a_malformed_solution_is_dropped(octets: int) -> None:
    site, wire = gateways(sun_host=under_load())
    stranger = Stranger(wire, site.sun, MOON)
    payloads = stranger.initial()
    cookie, _ = demanded(stranger, payloads)
    first, chain = chain_of([cookie, Unknown(PayloadType.PS, False, bytes(octets)), *payloads])
    assert not stranger.ask((first, chain)) and bare(site.sun)
