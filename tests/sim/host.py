"""Host: an engine with a fake kernel, credentials and a tape, and answers that come at once or late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

from ikectl.config.model import Connection
from ikectl.crypto import ke, puzzle
from ikectl.crypto.transforms import PRF_BY_ID
from ikectl.daemon.pools import AddressPools
from ikectl.daemon.tickets import SessionTickets
from ikectl.engine.commands import Initiate, Install, LoadConnection, Rekey, Selection, Terminate, Uninstall
from ikectl.engine.driver import Driver
from ikectl.engine.engine import Engine
from ikectl.engine.outside import Question, Transmit
from ikectl.errors import BackendError, CredentialError, IkectlError
from ikectl.pki.ppks import Ppks
from ikectl.sa import asks
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.env import Env, Settings
from ikectl.sa.events import CommandDone, Event, Fault
from ikectl.values.identity import Identity
from ikectl.values.path import Path
from ikectl.values.secret import Secret
from tests.sim.kernel import FakeKernel
from tests.sim.tape import Tape

Answer = Callable[[Any], Any]


def _no_tcp(ask: asks.OpenStream) -> Path:
    raise BackendError("there is no TCP here")


def search_puzzle(ask: asks.SearchPuzzle) -> asks.Found:
    """A puzzle of a simulation, solved in no time at all."""
    prf = PRF_BY_ID[ask.prf].prf
    return asks.Found(puzzle.search(prf, ask.data, ask.bits, ask.start, ask.tries, ask.wanted), 0.0)


class Host:
    """One end. `late` (0 to 1) is how often a question waits for its answer instead of getting it at once.

    `slow` says for some asks how many seconds they wait; `math.inf` is for ever.
    """

    def __init__(
        self,
        name: str,
        address: str,
        seed: int,
        *,
        secret: bytes = b"a secret between friends",
        ppks: Mapping[str, bytes] | None = None,
        settings: Settings | None = None,
        late: float = 0.0,
        slow: Mapping[type[Any], float] | None = None,
        answers: Mapping[type[Any], Answer] | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self.addresses = [ip_address(address).packed]
        """All it has, the one that its routes prefer first; see `World.move`."""
        self.kernel = FakeKernel(Tape(seed, f"{name}/kernel"))
        self.secret = secret
        self.ppks = Ppks()
        for identity, key in (ppks or {}).items():
            self.ppks.add(identity, (Identity.parse(identity),) if identity else (), key)
        self.pools = AddressPools()
        self.dial: Callable[[asks.OpenStream], Path] = _no_tcp
        """As the world has it, once it is in one."""
        self.hang_up: Callable[[asks.CloseStream], None] = lambda ask: None
        self.listens = False
        """For TCP, on any port."""
        self.clock: Callable[[], float] = lambda: 0.0
        """Simulated time, once it is in a world."""
        self.tickets = SessionTickets(Tape(seed, f"{name}/tickets"), lambda: self.clock())
        self.events: list[Event] = []
        self.fault: Fault | None = None
        """A defect that showed itself."""
        self.done: dict[int, CommandDone] = {}
        self.tape = Tape(seed, f"{name}/host")
        self.answers: dict[type[Any], Answer] = {
            asks.GenerateKe: lambda ask: ke.generate(ask.method, ask.random),
            asks.CombineKe: lambda ask: ke.combine(ask.pair, ask.public),
            asks.AnswerKe: lambda ask: ke.answer(ask.method, ask.public, ask.random),
            asks.SearchPuzzle: search_puzzle,
            asks.SharedSecret: self._secret,
            asks.FindPpk: lambda ask: self.ppks.find(ask.identity),
            asks.HasPpks: lambda ask: bool(self.ppks),
            asks.Authorities: lambda ask: (),
            asks.AllocSpi: self.kernel.alloc_spi,
            asks.FreeSpi: self.kernel.free_spi,
            asks.InstallChild: self.kernel.install,
            asks.RemoveChild: self.kernel.remove,
            asks.MovePath: self.kernel.move,
            asks.SkipNumbers: self.kernel.skip,
            asks.InstallSentry: self.kernel.install_sentry,
            asks.RemoveSentry: self.kernel.remove_sentry,
            asks.QueryUse: self.kernel.query,
            asks.InstallAddress: self.kernel.install_address,
            asks.RemoveAddress: self.kernel.remove_address,
            asks.InstallDns: self.kernel.install_dns,
            asks.RemoveDns: self.kernel.remove_dns,
            asks.DescribePools: self.pools.describe,
            asks.Lease: self.pools.lease,
            asks.Release: self.pools.release,
            **self.tickets.immediate,
            asks.Resolve: self._resolve,
            asks.OwnAddresses: lambda ask: tuple(self.addresses),
            asks.SourceAddress: self._source,
            asks.OpenStream: lambda ask: self.dial(ask),
            asks.CloseStream: lambda ask: self.hang_up(ask),
            **(answers or {}),
        }
        self.slow = dict(slow or {})
        # The very dictionary where nothing is slow: a test may put other answers into it later.
        now = {ask: self.answers[ask] for ask in self.answers if ask not in self.slow} if self.slow else self.answers
        immediate = {} if late else now
        self.late = late
        env = Env(lambda number: Tape(seed, f"{name}/{number}"), settings or Settings())
        self.engine = Engine(env, immediate)
        self._token = 0

    def _secret(self, ask: asks.SharedSecret) -> Secret:
        if not self.secret:
            raise CredentialError(f"no secret for {ask.remote_id}")
        return Secret(self.secret)

    def _source(self, ask: asks.SourceAddress) -> bytes:
        for address in self.addresses:
            if len(address) == len(ask.remote):
                return address
        raise BackendError("network is unreachable")

    def _resolve(self, ask: asks.Resolve) -> tuple[bytes, ...]:
        raise BackendError(f"{ask.host} has no address")

    def reply(self, question: Question, now: float) -> None:
        """Answer a question that was asked some time ago."""
        try:
            result = self.answers[type(question.ask)](question.ask)
        except IkectlError as failure:
            result = failure
        self.engine.answer(question.id, result, now)

    def drain(self) -> tuple[list[Transmit], list[Question]]:
        """What the engine wants sent and asked; its events are kept here."""
        transmits, questions = [], []
        for output in self.engine.drain():
            if isinstance(output, Transmit):
                transmits.append(output)
            elif isinstance(output, Question):
                questions.append(output)
            else:
                self.events.append(output)
                if isinstance(output, CommandDone):
                    self.done[output.token] = output
                elif isinstance(output, Fault):
                    self.fault = output
        return transmits, questions

    # -- what tests do and look at ------------------------------------------------

    def load(self, connection: Connection, now: float = 0.0) -> None:
        self.engine.command(LoadConnection(connection), now)

    def initiate(self, ike: str, child: str, now: float) -> int:
        self._token += 1
        self.engine.command(Initiate(self._token, ike, child), now)
        return self._token

    def rekey(self, now: float, ike: str = "", child: str = "") -> int:
        self._token += 1
        self.engine.command(Rekey(self._token, Selection(ike, child)), now)
        return self._token

    def terminate(self, now: float, ike: str = "", child: str = "", force: bool = False) -> int:
        self._token += 1
        self.engine.command(Terminate(self._token, Selection(ike, child), force), now)
        return self._token

    def install(self, now: float, ike: str = "site", child: str = "net", gone: bool = False) -> int:
        self._token += 1
        kind = Uninstall if gone else Install
        self.engine.command(kind(self._token, ike, child), now)
        return self._token

    def packet(self, source: str, destination: str, now: float) -> bool:
        """A packet that has no SA; whether the kernel asks for one."""
        acquired = self.kernel.acquired(source, destination)
        if acquired is not None:
            self.engine.command(acquired, now)
        return acquired is not None

    @property
    def machines(self) -> list[Driver[Any]]:
        return list(self.engine.machines())

    @property
    def children(self) -> list[ChildSa]:
        return [child for machine in self.machines for child in machine.sa.living_children]

    def saw(self, kind: type[Event]) -> list[Any]:
        """The events of one class so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def receive(self, datagram: bytes, path: Path, now: float) -> None:
        self.engine.receive(datagram, path, now)
