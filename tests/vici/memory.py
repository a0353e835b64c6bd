"""A daemon without a network: the control port kept in memory, with SAs made of real facts.

Two names of children mean something: `refused` is turned down by the peer,
`endless` never ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace

from cryptography.hazmat.primitives.serialization import load_der_private_key

from ikectl.config.model import (
    Authority,
    Certificate,
    Child,
    Connection,
    Crl,
    Mode,
    PrivateKey,
    PublicKey,
    SharedSecret,
)
from ikectl.crypto.proposal import ChildSuite, IkeSuite, parse_proposal
from ikectl.daemon.pools import AddressPools
from ikectl.daemon.vici_socket import ViciSocket
from ikectl.engine.commands import Configure, Initiate, Install, Rekey, Selection, Terminate, Uninstall
from ikectl.engine.view import ChildSaView, IkeSaView
from ikectl.errors import BackendError
from ikectl.iana.v2 import Protocol
from ikectl.pki import certificate as x509
from ikectl.pki.certificate import key_digest
from ikectl.sa.asks import Usage
from ikectl.sa.association import IkeState
from ikectl.sa.child_sa import ChildSa, ChildState
from ikectl.sa.env import Env
from ikectl.sa.events import (
    AuthFailed,
    ChildDown,
    ChildRekeyed,
    ChildUp,
    CommandDone,
    Event,
    IkeDown,
    IkeRekeyed,
    IkeUp,
    Note,
)
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.reqids import Policies, PolicyKey
from ikectl.sa.sentries import Sentry
from ikectl.values.identity import Identity
from ikectl.values.path import Endpoint, Path
from ikectl.values.selector import SelectorSpec, TrafficSelector
from ikectl.vici.ports import Begun, CertificateView, Stats, Version

NOW = 10_000.0  # the instant at which every snapshot is taken, in monotonic seconds


class MemoryCredentials:
    """Credentials in dicts."""

    def __init__(self) -> None:
        self.loaded_keys: dict[str, str] = {}
        self.loaded_secrets: dict[str, SharedSecret] = {}
        self.loaded_authorities: dict[str, Authority] = {}
        self.loaded_certificates: dict[bytes, bool] = {}
        self.loaded_crls: list[bytes] = []
        self.loaded_public_keys: list[bytes] = []
        self.responses: list[bytes] = []

    async def load_certificate(self, certificate: Certificate) -> None:
        self.loaded_certificates[certificate.data] = certificate.ca

    async def load_public_key(self, key: PublicKey) -> None:
        self.loaded_public_keys.append(key.data)

    def public_keys(self) -> Iterable[bytes]:
        return self.loaded_public_keys

    async def load_crl(self, crl: Crl) -> None:
        self.loaded_crls.append(crl.data)

    async def load_key(self, key: PrivateKey) -> str:
        public = load_der_private_key(key.data, None).public_key()
        key_id = key_digest(public).hex()  # type: ignore[arg-type]
        self.loaded_keys[key_id] = key.kind
        return key_id

    async def unload_key(self, key_id: str) -> bool:
        return self.loaded_keys.pop(key_id, None) is not None

    def keys(self) -> Iterable[str]:
        return self.loaded_keys

    async def load_secret(self, secret: SharedSecret) -> None:
        self.loaded_secrets[secret.name] = secret

    async def unload_secret(self, name: str) -> bool:
        return self.loaded_secrets.pop(name, None) is not None

    def secrets(self) -> Iterable[str]:
        return self.loaded_secrets

    async def load_authority(self, authority: Authority) -> None:
        self.loaded_authorities[authority.name] = authority

    async def unload_authority(self, name: str) -> bool:
        return self.loaded_authorities.pop(name, None) is not None

    def authorities(self) -> Mapping[str, Authority]:
        return self.loaded_authorities

    def certificates(self) -> Iterable[CertificateView]:
        for authority in self.loaded_authorities.values():
            yield CertificateView(authority.cacert, True, False)
        for der, ca in self.loaded_certificates.items():
            yield CertificateView(der, ca, x509.Certificate.read(der).key_id.hex() in self.loaded_keys)

    def signers(self) -> Iterable[bytes]:
        return ()

    def crls(self) -> Iterable[bytes]:
        return self.loaded_crls

    def ocsp_responses(self) -> Iterable[bytes]:
        return self.responses

    async def flush_certificates(self, crls: bool = True, responses: bool = True) -> None:
        if crls:
            self.loaded_crls.clear()
        if responses:
            self.responses.clear()

    async def clear(self) -> None:
        self.loaded_keys.clear()
        self.loaded_secrets.clear()
        self.loaded_certificates.clear()


class Memory:
    """The `Control` of a daemon whose peers answer at once."""

    def __init__(self) -> None:
        self.credentials = MemoryCredentials()
        self.pools = AddressPools()
        self.loaded: dict[str, Connection] = {}
        self.sas: dict[int, IkeSa] = {}
        self.usage: dict[int, Usage] = {}
        self.commands: list[Begun] = []
        self.standing: list[Sentry] = []
        """Traps and shunts."""
        self.calling: set[str] = set()
        """Connections whose peer is called again and again."""
        self.reloaded = 0
        self.seen = 0
        """IKE SAs that were listed."""
        self.unwanted = ""
        """A connection there is no room for."""
        self.broken = False
        """Has a defect: `stats` fails in a way nobody foresaw."""
        self.files: dict[str, bytes] = {}
        self.env = Env(random_for=lambda number: lambda octets: number.to_bytes(octets, "big"))
        self.socket: ViciSocket | None = None

    def tell(self, event: Event) -> None:
        assert self.socket is not None
        self.socket.publish(event)

    # -- facts

    def version(self) -> Version:
        return Version("ikectld", "0.1.0", "Linux", "6.1.0", "x86_64")

    def stats(self) -> Stats:
        if self.broken:
            raise ZeroDivisionError
        return Stats(14_400.0, "Nov 22 01:00:00 2026", len(self.sas), 0)

    async def reload_settings(self) -> None:
        self.reloaded += 1

    def connections(self) -> Iterable[Connection]:
        return self.loaded.values()

    async def load_connection(self, connection: Connection) -> None:
        if connection.name == self.unwanted:
            raise BackendError(f"there is no room for {connection.name}")
        self.loaded[connection.name] = connection

    async def unload_connection(self, name: str) -> bool:
        return self.loaded.pop(name, None) is not None

    async def ike_sas(self, selection: Selection) -> AsyncIterator[IkeSaView]:
        for sa in list(self.sas.values()):
            await asyncio.sleep(0)  # the kernel would be asked here
            self.seen += 1
            children = [ChildSaView.of(child, NOW, self.usage.get(child.uniqueid)) for child in sa.children.values()]
            yield IkeSaView.of(sa, NOW, tuple(children))

    def read_file(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self.files[path]

    def view(self, sa: IkeSa) -> IkeSaView:
        return IkeSaView.of(sa, NOW, tuple(ChildSaView.of(child, NOW) for child in sa.children.values()))

    def view_child(self, child: ChildSa) -> ChildSaView:
        return ChildSaView.of(child, NOW)

    # -- commands

    def is_calling(self, ike: str) -> bool:
        return ike in self.calling

    def sentries(self) -> Iterable[Sentry]:
        return self.standing

    def command(self, command: Begun) -> None:
        self.commands.append(command)
        asyncio.get_running_loop().call_soon(self._run, command)

    def _install(self, command: Install) -> None:
        """A child named `refused` cannot be trapped."""
        connection = self.loaded[command.ike]
        child = connection.child(command.child)
        assert child is not None
        if child.name == "refused":
            self.tell(CommandDone(command.token, "a trap needs a peer to call"))
            return
        ends = (SelectorSpec.parse("10.1.0.0/16").network,), (SelectorSpec.parse("10.2.0.0/16").network,)
        self.standing.append(Sentry(connection.name, child, *ends, None, 0 if child.is_shunt else 7))  # type: ignore[arg-type]
        self.tell(CommandDone(command.token, None))

    def _uninstall(self, command: Uninstall) -> None:
        found = [one for one in self.standing if (one.connection, one.name) == (command.ike, command.child)]
        for one in found:
            self.standing.remove(one)
        self.tell(CommandDone(command.token, None if found else "there is no such policy"))

    def _run(self, command: Begun) -> None:
        match command:
            case Initiate():
                self._initiate(command)
            case Install():
                self._install(command)
            case Uninstall():
                self._uninstall(command)
            case Terminate():
                found = self._matching(command.selection)
                for sa, children in found:
                    self._terminate(sa, children if command.selection.of_children else None)
                self._done(command.token, found, command.selection)
            case Configure():
                found = self._matching(command.selection)
                for sa, _ in found:
                    self.tell(Note(sa, "the peer is 'ikectl'" if command.ask else "the peer took its configuration"))
                self._done(command.token, found, command.selection)
            case Rekey():
                found = self._matching(command.selection)
                for sa, children in found:
                    self._rekey(sa, children if command.selection.of_children else None)
                self._done(command.token, found, command.selection)

    def _initiate(self, command: Initiate) -> None:
        connection = self.loaded[command.ike]
        sa = next((each for each in self.sas.values() if each.name == command.ike), None) or self._ike_sa(connection)
        self.tell(Note(sa, f"initiating {command.ike}"))
        if command.child == "endless":
            return
        if command.child == "refused":
            self.tell(AuthFailed(sa, peer=True, why="the peer's key is another one"))
            del self.sas[sa.uniqueid]
            self.tell(CommandDone(command.token, "the peer did not prove its identity"))
            return
        if sa.state is not IkeState.ESTABLISHED:
            sa.move(IkeState.ESTABLISHED)
            self.tell(IkeUp(sa))
        config = connection.child(command.child)
        if config is not None:
            child = self._child_sa(sa, config)
            self.tell(ChildUp(sa, child))
        self.tell(CommandDone(command.token, None, 1, 1))

    def _terminate(self, sa: IkeSa, children: list[ChildSa] | None) -> None:
        for child in children if children is not None else list(sa.children.values()):
            del sa.children[child.spi_in]
            child.move(ChildState.DELETED)
            self.tell(ChildDown(sa, child, "deleted by us"))
        if children is None:
            sa.move(IkeState.CLOSED)
            del self.sas[sa.uniqueid]
            self.tell(IkeDown(sa, "deleted by us"))

    def _rekey(self, sa: IkeSa, children: list[ChildSa] | None) -> None:
        if children is None:
            assert sa.connection is not None
            new = self._ike_sa(sa.connection)
            new.move(IkeState.ESTABLISHED)
            new.inherit(sa)
            del self.sas[sa.uniqueid]
            self.tell(IkeRekeyed(sa, new))
            return
        for child in children:
            fresh = self._child_sa(sa, child.config)
            del sa.children[child.spi_in]
            child.move(ChildState.REKEYED)
            self.tell(ChildRekeyed(sa, child, fresh))

    def _done(self, token: int, found: list[tuple[IkeSa, list[ChildSa]]], selection: Selection) -> None:
        matches = sum(len(children) if selection.of_children else 1 for _, children in found)
        if selection.ike in self.calling:
            self.calling.remove(selection.ike)
            matches += 1
        self.tell(CommandDone(token, None if matches else "nothing matches", matches, matches))

    def _matching(self, selection: Selection) -> list[tuple[IkeSa, list[ChildSa]]]:
        found = []
        for sa in self.sas.values():
            if selection.ike not in ("", sa.name) or selection.ike_id not in (0, sa.uniqueid):
                continue
            children = [
                child
                for child in sa.children.values()
                if selection.child in ("", child.name) and selection.child_id in (0, child.uniqueid)
            ]
            if children or not selection.of_children:
                found.append((sa, children))
        return found

    # -- SAs

    def populate(self, number: int) -> None:
        """So many IKE SAs of one connection."""
        for _ in range(number):
            self._ike_sa(next(iter(self.loaded.values())))

    def _ike_sa(self, connection: Connection) -> IkeSa:
        number = self.env.next_ike()
        sa = IkeSa(
            env=self.env,
            random=self.env.random_for(number),
            uniqueid=number,
            initiator=True,
            spi_i=bytes.fromhex("a1a2a3a4a5a6a700"),
            spi_r=bytes.fromhex("b1b2b3b4b5b6b700"),
            path=Path(Endpoint.parse("192.0.2.1", 4500), Endpoint.parse("198.51.100.2", 4500)),
            connection=connection,
        )
        sa.local_id, sa.remote_id = Identity.parse("gw-a.example.org"), Identity.parse("gw-b.example.org")
        sa.suite = IkeSuite.of(parse_proposal("aes256gcm16-prfsha256-x25519", Protocol.IKE))
        sa.nat = replace(sa.nat, remote=True)
        sa.established_at, sa.rekey_at = NOW - 3600, NOW + 7200
        self.sas[number] = sa
        return sa

    def _child_sa(self, sa: IkeSa, config: Child) -> ChildSa:
        self.env.last_child += 1
        number = self.env.last_child
        child = ChildSa(
            uniqueid=number,
            config=config,
            ike=sa,
            initiator=True,
            protocol=Protocol.ESP,
            mode=Mode.TUNNEL,
            suite=ChildSuite.of(parse_proposal("aes256-sha256", Protocol.ESP)),
            spi_in=0xC0000000 + number,
            spi_out=0xC1000000 + number,
            ts_local=(TrafficSelector.of_network("10.1.0.0/16"),),
            ts_remote=(TrafficSelector.of_network("10.2.0.0/16"),),
            path=sa.path,
            encap=True,
            policies=Policies(PolicyKey(None, "", (), (), b"", reqid=number), number),
            if_id_in=0,
            if_id_out=0,
            keys=None,
        )
        child.move(ChildState.INSTALLED)
        child.installed_at, child.rekey_at, child.expire_at = NOW - 600, NOW + 2400, NOW + 3360
        sa.children[child.spi_in] = child
        self.usage[number] = Usage(1_300_000, 9812, 840, 10, 0.0, 65.0)
        return child
