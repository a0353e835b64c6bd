"""Client puzzles: who is asked to work, who is let in for it, and what strangers cannot do with them (RFC 8019)."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.crypto import puzzle
from ikectl.crypto.puzzle import expected_tries
from ikectl.crypto.transforms import PRF_BY_ID
from ikectl.engine.router import PUZZLES_TOLD_EVERY
from ikectl.errors import BackendError
from ikectl.exchange.v2.demands import FREE_CHOICE, MOST_PUZZLES, PATIENCE, SLICE
from ikectl.iana.v2 import KeyExchangeMethod, NotifyType, PayloadType, PrfId, Protocol, TransformType
from ikectl.sa.asks import Found, SearchPuzzle
from ikectl.sa.env import Settings
from ikectl.sa.events import Note
from ikectl.wire.payload import Payload, Unknown
from ikectl.wire.v2.keying import KE, Nonce
from ikectl.wire.v2.notify import Notify, invalid_ke_notify
from ikectl.wire.v2.puzzle import Demand, PuzzleSolution, puzzle_notify
from ikectl.wire.v2.puzzle import puzzle as asked_by
from ikectl.wire.v2.sa import SA, Proposal, Transform
from tests.scenarios.stage import IKE_AUTH, IKE_SA_INIT, bare, gateways, notifies, stands, wait
from tests.sim.forge import Stranger, chain_of
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import MOON, SUN, Site, child, connection
from tests.sim.wiretap import Seen, Wiretap, which
from tests.sim.world import World

BITS = 6
SMALL = Demand(PrfId.HMAC_SHA2_256, 4)
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


def test_who_did_not_work_has_little_time() -> None:
    """The place of one that was drawn is kept for 10 seconds, that of one that worked for 30 (§4.1)."""
    site, wire = gateways(sun={"remote": "%any"}, sun_host=under_load(puzzle_legacy=1.0))
    places = []
    for address, works in ((MOON, True), ("203.0.113.1", False)):
        stranger = Stranger(wire, site.sun, address)
        payloads = stranger.initial()
        cookie, demand = demanded(stranger, payloads)
        assert is_open(stranger, [cookie, *([solved(cookie, demand)] if works else []), *payloads])
        places.append(site.sun.engine.half_open)
    for seconds in (9.0, 2.0, 18.0, 2.0):
        wait(site, seconds)
        places.append(site.sun.engine.half_open)
    assert places == [1, 2, 2, 1, 1, 0] and bare(site.sun)


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


# -- the initiator ---------------------------------------------------------------


def told(host: Host) -> list[str]:
    """What the operator reads about puzzles at that end."""
    return [note.why for note in host.saw(Note) if "puzzle" in note.why]


def called(**options: Any) -> tuple[Site, Wiretap, Stranger]:
    """moon calls, and what sun says is held back; somebody else may answer first."""
    site, wire = gateways(**options)
    wire.hold(which(by=site.sun), times=1)
    site.moon.initiate("site", "net", 0.0)
    site.world.run(0.1)
    return site, wire, Stranger(wire, site.moon, SUN)


def answer(forger: Stranger, wire: Wiretap, payloads: list[Payload]) -> list[Seen]:
    """An IKE_SA_INIT response for moon; what moon sends at once."""
    spi = wire.seen[0].message.spi_i
    return forger.ask(payloads, spi_i=spi, response=True, initiator=False)


def test_an_initiator_solves_it() -> None:
    """HDR, SA, KE, Ni -->  <-- HDR, N(COOKIE), N(PUZZLE);  HDR, N(COOKIE), PS, SA, KE, Ni -->  <-- HDR, SA, KE, Nr."""
    site, wire = gateways(sun_host=under_load())
    token = site.up()
    assert site.moon.done[token].error is None and stands(site)
    first, asked, second, _ = wire.messages(which(IKE_SA_INIT))
    cookie, work, *same = second.payloads
    assert cookie == asked.payloads[0] and isinstance(work, PuzzleSolution)
    assert same == first.payloads, "same nonce, same key, same everything; cookie and solution first"
    assert (second.spi_i, second.spi_r, second.message_id) == (first.spi_i, bytes(8), 0)
    assert told(site.moon) == [
        "the gateway is under load and asks for a puzzle of 6 bits (RFC 8019); solving it",
        "the puzzle is solved: 6 bits took 0.0 s",
    ]


@pytest.mark.parametrize(
    "ike", ["aes128gcm16-prfaesxcbc-x25519", "aes256gcm16-prfsha512-x25519", "aes128-sha1-modp2048"]
)
def test_with_every_kind_of_prf(ike: str) -> None:
    site, _ = gateways(ike=ike, sun_host=under_load())
    site.up()
    assert stands(site)


@pytest.mark.parametrize("seed", range(12))
def test_on_a_bad_road(seed: int) -> None:
    """Loss, duplicates and reordering; the work takes a while, and both ends begin at once."""
    busy = under_load()
    site, _ = gateways(
        seed=seed,
        link=Link(0.25, 0.3, 0.05, 0.4),
        moon_host={"settings": busy["settings"], "slow": {SearchPuzzle: 3.0}},
        sun_host={"settings": busy["settings"], "slow": {SearchPuzzle: 2.0}},
    )
    tokens = [(host, host.initiate("site", "net", 0.0)) for host in (site.moon, site.sun)]
    site.world.run_until(lambda: all(token in host.done for host, token in tokens), 600)
    assert [host.done[token].error for host, token in tokens] == [None, None]
    wait(site, 60)
    assert all(host.children for host in (site.moon, site.sun))
    assert not site.moon.engine.waiting and not site.sun.engine.waiting


def test_the_request_is_not_repeated_while_we_work() -> None:
    """Half a minute of work: nothing is sent, and then the solution."""
    site, wire = gateways(moon_host={"slow": {SearchPuzzle: 30.0}}, sun_host=under_load())
    site.moon.initiate("site", "net", 0.0)
    site.world.run(29.0)
    assert len(wire.all(which(IKE_SA_INIT, by=site.moon))) == 1
    wait(site, 3.0)
    assert stands(site)


def test_a_solution_that_was_lost_is_repeated() -> None:
    site, wire = gateways(moon_host={"slow": {SearchPuzzle: 10.0}}, sun_host=under_load())
    wire.hold(which(IKE_SA_INIT, holds=PuzzleSolution), times=2)
    token = site.up()
    assert site.moon.done[token].error is None and stands(site)
    solutions = [seen.octets for seen in wire.all(which(IKE_SA_INIT, holds=PuzzleSolution))]
    assert len(solutions) == 3 and len(set(solutions)) == 1


def test_the_work_is_dropped_with_the_attempt() -> None:
    site, wire = gateways(moon_host={"slow": {SearchPuzzle: 30.0}}, sun_host=under_load())
    site.moon.initiate("site", "net", 0.0)
    site.world.run(1.0)
    assert site.moon.engine.waiting == 1
    site.moon.terminate(site.world.now, "site")
    assert bare(site.moon)
    wait(site, 60)
    assert bare(site.moon) and bare(site.sun) and not site.moon.engine.waiting
    assert len(wire.all(which(IKE_SA_INIT, by=site.moon))) == 1


def test_of_a_hard_puzzle_the_work_goes_on_in_parts() -> None:
    """More tries than one part has; and the parts never are more than a puzzle takes, with bad luck."""
    asked: list[SearchPuzzle] = []

    def search(ask: SearchPuzzle) -> Found:
        asked.append(ask)
        return Found((ask.start.to_bytes(4, "big"),) if ask.start in (0, 2 * SLICE) else (), 1.0)

    site, _ = gateways(moon_host={"answers": {SearchPuzzle: search}}, sun_host=under_load(puzzle_difficulty=18))
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(0.5)
    most = PATIENCE * expected_tries(18)
    assert [ask.start for ask in asked] == list(range(0, most, SLICE)) and sum(ask.tries for ask in asked) == most
    assert [ask.wanted for ask in asked[:4]] == [4, 3, 3, 2]
    assert "which was not solved: no solution after" in told(site.moon)[1]
    site.world.run_until(lambda: token in site.moon.done)
    assert "asks for a puzzle of 18 bits" in str(site.moon.done[token].error)


def test_work_that_takes_too_long_is_given_up() -> None:
    asked: list[SearchPuzzle] = []

    def search(ask: SearchPuzzle) -> Found:
        asked.append(ask)
        return Found((), 25.0)

    site, _ = gateways(moon_host={"answers": {SearchPuzzle: search}}, sun_host=under_load(puzzle_difficulty=18))
    site.moon.initiate("site", "net", 0.0)
    site.world.run(0.5)
    assert len(asked) == 3 and "no solution after 1572864 tries and 75 s" in told(site.moon)[1]


def test_a_host_too_busy_to_work_asks_without() -> None:
    """Where nobody is drawn it ends with the reason; where somebody is, it comes up."""

    def search(ask: SearchPuzzle) -> Found:
        raise BackendError("16 other puzzles are being worked on already")

    for drawn in (0.0, 5.0):
        site, _ = gateways(moon_host={"answers": {SearchPuzzle: search}}, sun_host=under_load(puzzle_legacy=drawn))
        token = site.up()
        error = site.moon.done[token].error
        if drawn:
            assert error is None and stands(site)
        else:
            assert error is not None and "which was not solved: 16 other puzzles" in error and bare(site.moon)


def test_what_is_too_hard_is_refused_and_why() -> None:
    """21 bits: the cookie alone goes back (§7.1.2). Nobody is drawn: `ikectl up` says what the gateway wants."""
    busy = under_load(puzzle_difficulty=21, puzzle_most=21)
    site, wire = gateways(sun_host=busy)
    token = site.up()
    why = "the gateway is under load and asks for a puzzle of 21 bits (RFC 8019), refused: it is harder than 20 bits"
    assert str(site.moon.done[token].error).startswith(why) and bare(site.moon)
    assert not wire.all(which(IKE_SA_INIT, holds=PuzzleSolution))
    assert wire.messages(which(IKE_SA_INIT, by=site.moon))[1].notify(NotifyType.COOKIE) is not None
    lucky, _ = gateways(sun_host=under_load(puzzle_difficulty=21, puzzle_most=21, puzzle_legacy=5.0))
    lucky.up()
    assert stands(lucky)


def test_a_puzzle_of_no_difficulty_leaves_it_to_us() -> None:
    """N(PUZZLE, 0): as much as we can afford (§7.1.1.1)."""
    site, wire, forger = called()
    asked: list[SearchPuzzle] = []

    def search(ask: SearchPuzzle) -> Found:
        asked.append(ask)
        return Found((b"1", b"2", b"3", b"4"), 0.0)

    site.moon.answers[SearchPuzzle] = search
    answer(forger, wire, [Notify(NotifyType.COOKIE, b"c"), puzzle_notify(Demand(PrfId.HMAC_SHA2_256, 0))])
    assert [ask.bits for ask in asked] == [FREE_CHOICE]
    assert "a puzzle as hard as we can afford" in told(site.moon)[0]


# -- IKE_AUTH ---------------------------------------------------------------------


def clear_types(octets: bytes) -> list[int]:
    """The types of the payloads in clear, up to the encrypted one."""
    found, at = [octets[16]], 28
    while found[-1] not in (PayloadType.SK, PayloadType.SKF):
        found.append(octets[at])
        at += int.from_bytes(octets[at + 2 : at + 4], "big")
    return found


@pytest.mark.parametrize("ike", ["aes128gcm16-prfsha256-x25519", "aes256-sha256-prfaesxcbc-x25519"])
def test_a_puzzle_before_ike_auth(ike: str) -> None:
    """<-- HDR, SA, KE, Nr, N(PUZZLE);  HDR, PS, SK{IDi, AUTH, SA, TSi, TSr} --> (§7.2): the solution in clear."""
    site, wire = gateways(ike=ike, sun_host=under_load(puzzle_auth=7))
    token = site.up()
    assert site.moon.done[token].error is None and stands(site)
    asked = wire.messages(which(IKE_SA_INIT, by=site.sun))[-1]
    notify = asked.notify(NotifyType.PUZZLE)
    assert notify is not None and asked_by(notify).bits == 7
    (sent,) = wire.all(which(IKE_AUTH, by=site.moon))
    assert clear_types(sent.octets) == [PayloadType.PS, PayloadType.SK]
    keys = PuzzleSolution.read(sent.octets[32 : 28 + int.from_bytes(sent.octets[30:32], "big")]).keys
    nonce_r = asked.one(Nonce).value
    assert puzzle.earned(PRF_BY_ID[asked_by(notify).prf].prf, keys, nonce_r + asked.spi_r) >= 7
    assert told(site.moon)[2:] == [
        "the gateway is under load and asks for a puzzle of 7 bits (RFC 8019) before IKE_AUTH; solving it",
        "the puzzle is solved: 7 bits took 0.0 s",
    ]
    site.moon.rekey(site.world.now, "site")
    wait(site, 5)
    assert stands(site)


def test_who_solved_none_before_is_asked_none_then() -> None:
    """Nobody who was drawn, or came with a cookie, gets a puzzle for IKE_AUTH (§7.2.1)."""
    site, wire = gateways(
        moon_host={"settings": Settings(puzzle_limit=1)}, sun_host=under_load(puzzle_auth=7, puzzle_legacy=5.0)
    )
    site.up()
    assert stands(site) and wire.messages(which(IKE_SA_INIT, by=site.sun))[-1].notify(NotifyType.PUZZLE) is None


def test_in_fragments_the_solution_goes_with_the_first() -> None:
    """HDR, PS, SKF{1/n} -->  HDR, SKF{2/n} --> and so on (RFC 7383 §2.5.3, RFC 8019 §7.2.2)."""
    many = ",".join(f"10.{number}.0.0/16" for number in range(1, 101))
    children = {"moon_children": (child(local=many),), "sun_children": (child(mirror=True, local=many),)}
    site, wire = gateways(**children, sun_host=under_load(puzzle_auth=7))
    token = site.up()
    assert site.moon.done[token].error is None and stands(site)
    pieces = [seen.octets for seen in wire.all(which(IKE_AUTH, by=site.moon))]
    assert [clear_types(octets) for octets in pieces[:2]] == [[PayloadType.PS, PayloadType.SKF], [PayloadType.SKF]]
    assert max(map(len, pieces)) <= Settings().fragment_size - 28


@pytest.mark.parametrize("seed", range(8))
def test_a_puzzle_before_ike_auth_on_a_bad_road(seed: int) -> None:
    site, _ = gateways(
        seed=seed,
        link=Link(0.25, 0.3, 0.05, 0.4),
        moon_host={"slow": {SearchPuzzle: 2.0}},
        sun_host=under_load(puzzle_auth=7),
    )
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run_until(lambda: token in site.moon.done, 600)
    assert site.moon.done[token].error is None
    wait(site, 60)
    assert stands(site) and not site.moon.engine.waiting


def test_an_ike_auth_without_the_solution_is_not_opened() -> None:
    """HDR, SK{...} -->  and HDR, PS(wrong), SK{...} -->: silence, and the honest one gets its answer (§7.2.4)."""
    site, wire = gateways(sun_host=under_load(puzzle_auth=7))
    held = wire.hold(which(IKE_AUTH, by=site.moon), times=1)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(1.0)
    (honest,) = held.caught
    ps = int.from_bytes(honest.octets[30:32], "big")
    bare_length = (len(honest.octets) - ps).to_bytes(4, "big")
    without = honest.octets[:16] + bytes((PayloadType.SK,)) + honest.octets[17:24] + bare_length
    attempts = [
        without + honest.octets[28 + ps :],
        honest.octets[:32] + bytes(4) + honest.octets[36:],
        honest.octets[:28],
        honest.octets[:40],
    ]
    stranger = Stranger(wire, site.sun, MOON)
    for octets in attempts:
        assert not stranger.send(octets)
    wire.release(held)
    site.world.run_until(lambda: token in site.moon.done)
    wait(site, 1)
    assert site.moon.done[token].error is None and stands(site)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\0\5\0", "of no difficulty"),
        (b"\0\5\x15", "harder than 20 bits"),
        (b"\0\7\4", "none of those in our proposals"),
        (b"\0\5", "a PUZZLE of 2 octets"),
    ],
)
def test_what_cannot_be_solved_before_ike_auth_is_no_way_on(data: bytes, why: str) -> None:
    """There is no IKE_AUTH without the solution; another answer may still come, and this is said if none does."""
    for genuine_comes in (False, True):
        site, wire = gateways()
        held = wire.hold(which(by=site.sun), times=1 if genuine_comes else None)
        token = site.moon.initiate("site", "net", 0.0)
        site.world.run(0.1)
        answers = [seen.message for seen in wire.seen if seen.message.response] or [held.caught[0].message]
        forged = [*answers[0].payloads, Notify(NotifyType.PUZZLE, data)]
        spi = wire.seen[0].message.spi_i
        forger = Stranger(wire, site.moon, SUN)
        assert not forger.ask(forged, spi_i=spi, spi_r=b"somebody", response=True, initiator=False)
        if genuine_comes:
            wire.release(held)
        site.world.run_until(lambda: token in site.moon.done, 60)  # noqa: B023
        error = site.moon.done[token].error
        assert error is None if genuine_comes else why in str(error)


def test_a_forged_puzzle_before_ike_auth_does_not_keep_the_gateway_waiting() -> None:
    """The stranger's answer wants work; the gateway's comes meanwhile and is taken at once."""
    site, wire = gateways(moon_host={"slow": {SearchPuzzle: 20.0}})
    held = wire.hold(which(by=site.sun), times=1)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(0.1)
    (genuine,) = held.caught
    forged = [*genuine.message.payloads, puzzle_notify(SMALL)]
    spi = wire.seen[0].message.spi_i
    Stranger(wire, site.moon, SUN).ask(forged, spi_i=spi, spi_r=b"somebody", response=True, initiator=False)
    assert site.moon.engine.waiting == 1
    wire.release(held)
    site.world.run_until(lambda: token in site.moon.done, 5.0)
    wait(site, 60)
    assert site.moon.done[token].error is None and stands(site) and not site.moon.engine.waiting


# -- hostile answers -------------------------------------------------------------


def test_a_better_answer_is_taken_while_we_work() -> None:
    """A stranger's puzzle comes first, the gateway's own answer while we work: the work is dropped."""
    site, wire = gateways(moon_host={"slow": {SearchPuzzle: 20.0}})
    held = wire.hold(which(by=site.sun), times=1)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(0.1)
    forger = Stranger(wire, site.moon, SUN)
    assert not answer(forger, wire, [Notify(NotifyType.COOKIE, b"forged"), puzzle_notify(SMALL)])
    assert site.moon.engine.waiting == 1
    wire.release(held)
    site.world.run_until(lambda: token in site.moon.done, 5.0)
    wait(site, 1)
    assert site.moon.done[token].error is None and stands(site)
    assert len(wire.all(which(IKE_SA_INIT, by=site.moon))) == 1
    wait(site, 60)
    assert stands(site) and not site.moon.engine.waiting


def test_a_plain_cookie_is_taken_while_we_work() -> None:
    site, wire, forger = called(moon_host={"slow": {SearchPuzzle: 20.0}})
    answer(forger, wire, [Notify(NotifyType.COOKIE, b"forged"), puzzle_notify(SMALL)])
    (request,) = answer(forger, wire, [Notify(NotifyType.COOKIE, b"another")])
    assert request.message.payloads[0] == Notify(NotifyType.COOKIE, b"another")
    assert request.message.get(PuzzleSolution) is None
    wait(site, 60)
    assert stands(site), "sun takes cookies that it did not ask for"


def test_a_puzzle_solved_for_a_stranger_does_not_keep_the_gateway_out() -> None:
    """The gateway is under load, too: what a forger wants is shown to it, and it asks for its own."""
    site, wire = gateways(sun_host=under_load())
    held = wire.hold(which(by=site.sun), times=1)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(0.1)
    forger = Stranger(wire, site.moon, SUN)
    answer(forger, wire, [Notify(NotifyType.COOKIE, b"forged"), puzzle_notify(SMALL)])
    wire.release(held)
    site.world.run_until(lambda: token in site.moon.done)
    wait(site, 1)
    assert site.moon.done[token].error is None and stands(site)


def test_forgers_cannot_make_us_work_without_end() -> None:
    """Fifty puzzles with ever new cookies: three are solved, and the request goes out six times."""
    site, wire = gateways()
    wire.hold(which(by=site.sun))
    asked: list[SearchPuzzle] = []

    def search(ask: SearchPuzzle) -> Found:
        asked.append(ask)
        return Found((b"1", b"2", b"3", b"4"), 0.0)

    site.moon.answers[SearchPuzzle] = search
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(0.1)
    forger = Stranger(wire, site.moon, SUN)
    for number in range(50):
        answer(forger, wire, [Notify(NotifyType.COOKIE, bytes((number,))), puzzle_notify(SMALL)])
    assert len(asked) == MOST_PUZZLES == 3
    assert len(wire.all(which(IKE_SA_INIT, by=site.moon))) <= 6
    wait(site, 600)
    assert bare(site.moon) and site.moon.done[token].error is not None


@pytest.mark.parametrize(
    ("payloads", "restarts"),
    [
        ([Notify(NotifyType.PUZZLE, b"\0\5\4")], False),
        ([Notify(NotifyType.COOKIE, b"c"), Notify(NotifyType.PUZZLE, b"\0\5")], False),
        ([Notify(NotifyType.COOKIE, b"c"), Notify(NotifyType.PUZZLE, b"")], False),
        ([Notify(NotifyType.COOKIE, b""), Notify(NotifyType.PUZZLE, b"\0\5\4")], False),
        ([Notify(NotifyType.COOKIE, b"c"), Notify(NotifyType.PUZZLE, b"\0\6\4")], True),
        ([Notify(NotifyType.COOKIE, b"c"), Notify(NotifyType.PUZZLE, b"\xff\xff\4")], True),
        ([Notify(NotifyType.COOKIE, b"c"), Notify(NotifyType.PUZZLE, b"\0\5\xff")], True),
    ],
    ids=["no cookie", "cut", "empty", "cookie of 0", "prf not offered", "unknown prf", "255 bits"],
)
def test_puzzles_that_are_none_do_not_end_an_attempt(payloads: list[Payload], restarts: bool) -> None:
    """Ignored, or at most answered by the cookie alone; nothing is worked on, and the gateway's answer counts."""
    site, wire = gateways()
    held = wire.hold(which(by=site.sun), times=1)
    site.moon.answers[SearchPuzzle] = lambda ask: pytest.fail("it was worked on")
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(0.1)
    sent = answer(Stranger(wire, site.moon, SUN), wire, payloads)
    assert [seen.message.get(PuzzleSolution) for seen in sent] == ([None] if restarts else [])
    wire.release(held)
    site.world.run_until(lambda: token in site.moon.done)
    wait(site, 1)
    assert site.moon.done[token].error is None and stands(site)


def test_a_correction_of_the_group_during_the_work() -> None:
    """N(INVALID_KE_PAYLOAD) while we work: the request goes out with the new key, and the puzzle is asked anew."""
    site, wire = gateways(
        ike="aes128gcm16-prfsha256-x25519-ecp256",
        sun_ike="aes128gcm16-prfsha256-ecp256",
        moon_host={"slow": {SearchPuzzle: 5.0}},
        sun_host=under_load(),
    )
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(1.0)
    assert site.moon.engine.waiting == 1
    (request,) = answer(Stranger(wire, site.moon, SUN), wire, [invalid_ke_notify(KeyExchangeMethod.ECP_256)])
    assert request.message.one(KE).method is KeyExchangeMethod.ECP_256
    site.world.run_until(lambda: token in site.moon.done)
    wait(site, 1)
    assert site.moon.done[token].error is None and stands(site)


def test_group_and_puzzle_are_carried_along() -> None:
    """The puzzle first, then N(INVALID_KE_PAYLOAD): cookie and solution are shown again with the other key (§2.6.1)."""
    site, wire = gateways(
        ike="aes128gcm16-prfsha256-x25519-ecp256", sun_ike="aes128gcm16-prfsha256-ecp256", sun_host=under_load()
    )
    token = site.up()
    assert site.moon.done[token].error is None and stands(site)
    *_, before, last = wire.messages(which(IKE_SA_INIT, by=site.moon))
    assert before.payloads[:2] == last.payloads[:2] and isinstance(last.payloads[1], PuzzleSolution)
    assert last.one(KE).method is KeyExchangeMethod.ECP_256
