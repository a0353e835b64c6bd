"""What strangers may cost who speaks IKEv1: places, memory, private keys, and others' bandwidth."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.config.model import Auth, AuthKind, SendCert, Unique
from ikectl.engine.outside import Transmit
from ikectl.iana.v1 import NotifyType
from ikectl.iana.v2 import KeyExchangeMethod
from ikectl.sa import asks
from ikectl.sa.association import IkeState
from ikectl.sa.env import Settings
from ikectl.sa.events import IkeDown
from ikectl.wire.v1.identity import ID
from ikectl.wire.v1.keying import KE, Nonce
from ikectl.wire.v1.notify import dpd_notify
from ikectl.wire.v1.payload import Payload
from ikectl.wire.v1.sa import Transform
from tests.scenarios.v1.stage import IKE, bare, gateways, wait
from tests.scenarios.v1.test_authentication import Party, between, leaf
from tests.scenarios.v1.test_theft import Anybody
from tests.scenarios.v1.test_xauth import site as with_users
from tests.sim.forge_v1 import Change, Impostor, Peer
from tests.sim.host import Host
from tests.sim.site import MOON, SUN, Site, child, connection
from tests.sim.wiretap_v1 import TRANSACTION, Wiretap, which
from tests.sim.world import World

BOTH = "aes128gcm16-prfsha256-x25519,aes128-sha256-modp2048"

# -- places --------------------------------------------------------------------------------


def test_forged_first_messages_keep_no_peer_from_ikev2() -> None:
    """sun takes either version. Somebody knocks with IKEv1 in moon's name; moon calls with IKEv2 meanwhile."""
    site = Site(ike=BOTH, moon={"version": 2}, sun={"version": 0})
    wire = Wiretap(site.world)
    for seed in range(100, 110):
        Peer(wire, site.sun, MOON, seed=seed).main_1()
    token = site.moon.initiate("site", "net", site.world.now)
    wait(site, 5)
    assert site.moon.done[token].error is None
    assert len(site.sun.children) == 1


def test_forged_first_messages_keep_no_peer_from_ikev1() -> None:
    """Whom one cannot tell from the peer takes its place for a while, but never locks it out."""
    site = gateways()
    wire = Wiretap(site.world)
    for seed in range(100, 110):
        Peer(wire, site.sun, MOON, seed=seed).main_1()
    token = site.up()
    assert site.moon.done[token].error is None
    wait(site, 60)
    assert len(site.sun.machines) == 1


@pytest.mark.parametrize("version", [1, 2])
def test_forged_first_messages_from_everywhere_keep_nobody_out(version: int) -> None:
    """All places are taken by addresses that do not exist; who does exist gets in."""
    few = {"settings": Settings(half_open_limit=16)}
    site = Site(ike=BOTH, moon={"version": version}, sun={"version": 0, "remote": "%any"}, sun_host=few)
    wire = Wiretap(site.world)
    for number in range(40):
        Peer(wire, site.sun, f"198.18.0.{number + 1}", seed=number).main_1()
    token = site.moon.initiate("site", "net", site.world.now)
    wait(site, 5)
    assert site.moon.done[token].error is None


# -- memory ----------------------------------------------------------------------------------


def questions(peer: Any, first: int, count: int = 60) -> list[Payload]:
    return [dpd_notify(NotifyType.R_U_THERE, *peer.cookies, first + number) for number in range(count)]


def test_a_stranger_who_proved_nothing_piles_nothing_up() -> None:
    """With signatures it has the keys before it says who it is: 3000 times R-U-THERE leave nothing to do."""
    site = between(Party([leaf("moon")]), Party([leaf("sun")]))
    wire = Wiretap(site.world)
    stranger = Anybody(wire, site.sun)
    stranger.main_1()
    stranger.main_3()
    (machine,) = site.sun.machines
    mark = len(site.world.sent)
    for message in range(50):
        stranger.inform(questions(stranger, 100 * message))
    assert not machine.tasks.queued and not machine.tasks.active
    assert len(site.world.sent) == mark
    wait(site, 60)
    assert bare(site.sun)


def test_who_has_not_logged_in_is_answered_once_for_each_message() -> None:
    """Behind phase 1 and before the login one R-U-THERE of sixty is answered, and nothing else begins."""
    site = with_users()
    wire = Wiretap(site.world)
    wire.hold(which(TRANSACTION, by=site.moon))
    site.moon.initiate("site", "net", site.world.now)
    wait(site, 1)
    (machine,) = site.sun.machines
    assert machine.sa.state is IkeState.AUTHENTICATING
    impostor = Impostor(wire, site.moon)
    for message in range(10):
        assert len(impostor.say(questions(impostor, 1000 + 100 * message))) <= 1
    assert not machine.tasks.queued


# -- private keys -------------------------------------------------------------------------------


class Encrypting(Peer):
    """A stranger who offers public key encryption."""

    method = 4

    def transform(self, number: int = 1, **other: int | bytes) -> Transform:
        return super().transform(number, **{"AUTH_METHOD": self.method, **other})

    def make_keys(self) -> None:
        """The answer is encrypted to somebody else."""


@pytest.mark.parametrize("kind", [AuthKind.RSA_ENCRYPTION, AuthKind.RSA_ENCRYPTION_REVISED])
def test_nobody_has_us_use_a_private_key_as_often_as_it_likes(kind: AuthKind) -> None:
    """Fifty times message 3 with noise of the right length: a few times it is decrypted, then that phase 1 is over."""
    site, used = encrypting(kind)
    stranger = knocks(site, kind)
    for number in range(50):
        stranger.main_3(noise(number, kind is AuthKind.RSA_ENCRYPTION_REVISED))
    assert len(used) <= 8
    wait(site, 60)
    assert bare(site.sun)


@pytest.mark.parametrize("kind", [AuthKind.RSA_ENCRYPTION, AuthKind.RSA_ENCRYPTION_REVISED])
@pytest.mark.parametrize("broken", ["no KE", "no nonce", "no identity", "a short nonce", "a short KE"])
def test_what_cannot_be_right_is_not_even_decrypted(kind: AuthKind, broken: str) -> None:
    """Fifty times a message 3 that lacks something, or has it in a length it cannot have: no private key is used."""
    site, used = encrypting(kind)
    stranger = knocks(site, kind)
    good = noise(1, 256)([KE(stranger.pair.public if kind is AuthKind.RSA_ENCRYPTION else bytes(64)), Nonce(bytes(16))])
    gone = {"no KE": KE, "no nonce": Nonce, "no identity": ID}.get(broken)
    if gone is not None:
        good = [each for each in good if not isinstance(each, gone)]
    elif broken == "a short nonce":
        good = [Nonce(bytes(255)) if isinstance(each, Nonce) else each for each in good]
    else:
        good = [KE(each.public[1:]) if isinstance(each, KE) else each for each in good]
    for _ in range(50):
        stranger.main_3(lambda payloads: good)
    assert used == []


def noise(seed: int, revised: bool = False) -> Change:
    """KE, ID and nonce in the lengths they have, of nothing that was encrypted to anybody."""

    def change(payloads: list[Payload]) -> list[Payload]:
        sealed = bytes((seed & 0x7F,)) * 256
        public = KE(bytes(80)) if revised else next(each for each in payloads if isinstance(each, KE))
        return [public, ID.read(sealed), Nonce(sealed)]

    return change


def encrypting(kind: AuthKind) -> tuple[Site, list[asks.Decrypt]]:
    """Two gateways with public key encryption, and the use that sun makes of its private key."""
    auth, moon, sun = Auth(kind), leaf("moon"), leaf("sun")
    site = between(Party([moon], [sun], auth=auth), Party([sun], [moon], auth=auth))
    used: list[asks.Decrypt] = []
    decrypt = site.sun.answers[asks.Decrypt]
    site.sun.answers[asks.Decrypt] = lambda ask: used.append(ask) or decrypt(ask)  # type: ignore[func-returns-value]
    return site, used


def knocks(site: Site, kind: AuthKind) -> Peer:
    """A stranger at moon's address, after message 1."""
    stranger = Encrypting(Wiretap(site.world), site.sun, MOON, group=KeyExchangeMethod.ECP_256)
    stranger.method = 4 if kind is AuthKind.RSA_ENCRYPTION else 5
    stranger.main_1()
    return stranger


# -- others' bandwidth ---------------------------------------------------------------------------


def test_a_forged_first_message_has_us_say_little_to_its_victim() -> None:
    """Aggressive mode with certificates: the answer is long, and nobody at that address asked for it."""
    more = {"send_cert": SendCert.ALWAYS}
    site = between(Party([leaf("moon")]), Party([leaf("sun")], more=more), aggressive=True)
    wire = Wiretap(site.world)
    said: list[int] = []

    def tap(host: Host, transmit: Transmit) -> bool:
        said.append(len(transmit.data))
        return False

    site.world.taps.append(tap)
    forger = Peer(wire, site.sun, MOON, group=KeyExchangeMethod.ECP_256)
    octets = forger.clear(
        [forger.offer(forger.transform(AUTH_METHOD=3)), KE(forger.pair.public), Nonce(forger.nonce), forger.identity],
        4,
        cookie_i=b"a cookie",
    )
    forger.deliver(octets)
    wait(site, 60)
    assert 1 <= len(said) <= 2
    assert bare(site.sun)


@pytest.mark.parametrize("unique", [Unique.NO, Unique.NEVER])
def test_one_peer_has_only_so_many(unique: Unique) -> None:
    """A group that shares an identity: each of it from an address of its own, and no more than the limit stay."""
    most = Settings(max_sas_of_peer=3)
    sun = Host("sun", SUN, 1, settings=most)
    mirrored = {"local": SUN, "remote": "%any", "local_id": "sun.example.org", "remote_id": "moon.example.org"}
    sun.load(connection(ike=IKE, version=1, unique=unique, children=(child(mirror=True),), **mirrored))
    members = [Host(f"moon-{number}", f"192.0.2.{number}", number) for number in range(1, 6)]
    for member in members:
        # Each has lost nothing, so it must not say that this is its first contact.
        net = child(local=f"10.1.{member.address.rsplit('.')[-1]}.0/24")
        member.load(connection(ike=IKE, version=1, local=member.address, children=(net,), unique=Unique.NEVER))
    world = World(1, sun, *members)
    for member in members:
        member.initiate("site", "net", world.now)
        world.run(world.now + 5)
    assert len(sun.machines) == 3
    assert [bool(member.machines) for member in members] == [True] * 3 + [False] * 2
    downs = [event.text() for event in sun.saw(IkeDown)]
    assert len(downs) == 2 and all("moon.example.org has 3 SAs already" in text for text in downs)
    members[0].terminate(world.now, "site")
    world.run(world.now + 60)
    members[4].initiate("site", "net", world.now)
    world.run(world.now + 5)
    assert len(sun.machines) == 3 and members[4].children
    world.settled()
