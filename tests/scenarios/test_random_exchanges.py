"""Two gateways and a hostile network do anything in any order; what must always hold, holds (RFC 7296 §2.25, §2.8).

Hypothesis draws the acts and shortens what fails to the few that matter. What
the lives of `tests/sim/mixed.py` cannot do is here: several children, old and
spoilt datagrams that come back, and acts of any number between them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ikectl.config.model import Auth, AuthKind, Local, Remote
from ikectl.iana.eap import EapType
from ikectl.values.identity import Identity, IdentityPattern
from tests.scenarios.stage import bare
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import MOON, Site, child
from tests.sim.users import user_answers

CHILDREN = ("net", "lab")
QUIET = Link(delay=0.01)
ENDS = st.sampled_from(["moon", "sun"])
PART = st.sampled_from(["", *CHILDREN])
PROOFS = st.sampled_from(["psk", "eap", "rounds"])
FEW = 200
"""Datagrams an attacker keeps: those of the SAs that live, and some older ones."""


def children(esp: str, mirror: bool) -> tuple[Any, ...]:
    return (
        child("net", esp=esp, mirror=mirror),
        child("lab", esp=esp, mirror=mirror, local="10.3.0.0/16", remote="10.4.0.0/16"),
    )


def prove_by(site: Site, proof: str) -> None:
    """Let moon prove itself by EAP, or twice."""
    (ours,), (theirs,) = site.moon.engine.connections.all, site.sun.engine.connections.all
    carol, psk = Identity.parse("carol"), Auth(AuthKind.PSK)
    if proof == "eap":
        # The gateway's proof is a shared key here, which spares each example the signatures.
        eap = Auth(AuthKind.EAP, eap=(EapType.MSCHAPV2,))
        anybody = IdentityPattern.parse("%any")
        site.moon.load(replace(ours, local=(Local("local", eap, carol),)))
        site.sun.load(replace(theirs, remote=(Remote("remote", eap, anybody, eap_id=anybody),)))
    elif proof == "rounds":
        site.moon.load(replace(ours, local=(*ours.local, Local("again", psk, carol))))
        again = Remote("again", psk, IdentityPattern.parse("carol"))
        site.sun.load(replace(theirs, remote=(*theirs.remote, again)))


class Exchanges(RuleBasedStateMachine):
    """moon and sun, an IKE SA between them most of the time, and everything that may happen to it."""

    @initialize(
        seed=st.integers(0, 2**32), proof=PROOFS, pfs=st.booleans(), late=st.booleans(), window=st.sampled_from([1, 4])
    )
    def begin(self, seed: int, proof: str, pfs: bool, late: bool, window: int) -> None:
        esp = "aes128gcm16-x25519" if pfs else "aes128gcm16"
        host = {"answers": user_answers({"carol": b"of carol alone"}), "late": 0.5 if late else 0.0}
        self.site = Site(
            seed,
            moon_children=children(esp, False),
            sun_children=children(esp, True),
            moon_host=host,
            sun_host=host,
            moon={"mobike": True, "local": "%any", "window": window},
            sun={"mobike": True, "remote": "%any", "window": window},
        )
        prove_by(self.site, proof)
        self.world = self.site.world
        token = self.site.up()
        assert self.site.moon.done[token].error is None, self.site.moon.done[token].error

    def host(self, name: str) -> Host:
        return self.site.moon if name == "moon" else self.site.sun

    @rule(name=ENDS, what=PART)
    def rekey(self, name: str, what: str) -> None:
        self.host(name).rekey(self.world.now, "site", what)

    @rule(name=ENDS, what=PART)
    def terminate(self, name: str, what: str) -> None:
        self.host(name).terminate(self.world.now, "site", what)

    @rule(what=st.sampled_from(CHILDREN))
    def initiate(self, what: str) -> None:
        self.site.moon.initiate("site", what, self.world.now)

    @rule(seconds=st.sampled_from([0.005, 0.03, 0.2, 3.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    @rule(place=st.sampled_from([MOON, "192.0.2.77", "192.0.2.78"]))
    def roam(self, place: str) -> None:
        self.world.move(self.site.moon, place)

    @rule(loss=st.sampled_from([0.0, 0.2, 0.4]), twice=st.sampled_from([0.0, 0.3]), jitter=st.sampled_from([0.0, 0.4]))
    def weather(self, loss: float, twice: float, jitter: float) -> None:
        self.world.link = Link(loss, twice, 0.02, jitter)

    @rule(which=st.integers(0, FEW), bit=st.none() | st.integers(0, 4000))
    def something_old_comes_back(self, which: int, bit: int | None) -> None:
        """A datagram sent before, as it was or with one bit changed."""
        kept = self.world.sent[-FEW:]
        if not kept:
            return
        _, sent = kept[which % len(kept)]
        data = bytearray(sent.data)
        if bit is not None and data:
            data[bit // 8 % len(data)] ^= 1 << bit % 8
        self.world.deliver(bytes(data), sent.path.local, sent.path.remote)
        self.world.run(self.world.now + 0.001)

    def teardown(self) -> None:
        """A good link, time for every retry: both ends agree. Then all is taken down, and nothing is left."""
        if not hasattr(self, "site"):
            return
        self.world.link = QUIET
        self.world.run(self.world.now + 900.0)
        self.world.settled()
        for host in (self.site.moon, self.site.sun):
            host.terminate(self.world.now)
        self.world.run(self.world.now + 400.0)
        assert bare(self.site.moon) and bare(self.site.sun), self.world.violation("something was left behind")


TestExchanges = Exchanges.TestCase
TestExchanges.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
