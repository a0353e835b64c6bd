"""The table of commands: name -> what may be asked, the function that serves it, what it streams.

A new command is a row in COMMANDS and a function above it. A function gets
its request already read, streams with `context.emit`, and returns the answer;
an `IkectlError` it raises becomes `success=no` with the error's text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from ikectl.config.build import (
    authority_from_vici,
    certificate_from_vici,
    connection_from_vici,
    key_from_vici,
    pool_from_vici,
    secret_from_vici,
)
from ikectl.config.kinds import gateway
from ikectl.config.model import AddressSpec, Connection, Crl, Mode, PublicKey
from ikectl.config.warnings import secret_warnings, warnings
from ikectl.engine.commands import Configure, Initiate, Install, Redirect, Rekey, Selection, Terminate, Uninstall
from ikectl.engine.view import ChildSaView, IkeSaView
from ikectl.pki.certificate import Certificate
from ikectl.sa.events import CommandDone, Event
from ikectl.sa.sentries import Sentry
from ikectl.values.duration import format_time
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.vici import requests, shapes
from ikectl.vici.feed import BROADCAST_NAMES
from ikectl.vici.message import MAX_VALUE
from ikectl.vici.ports import Begun, Context
from ikectl.vici.requests import RequestError, near
from ikectl.vici.session import Call
from ikectl.vici.shapes import Shape

# -- the daemon


async def version(context: Context, request: requests.Nothing) -> Shape:
    return shapes.version(context.control.version())


async def stats(context: Context, request: requests.Nothing) -> Shape:
    facts = context.control.stats()
    return shapes.stats(facts, format_time(facts.running_for))


async def reload_settings(context: Context, request: requests.Nothing) -> Shape:
    await context.control.reload_settings()
    return shapes.succeeded()


async def get_algorithms(context: Context, request: requests.Nothing) -> Shape:
    return shapes.algorithms()


# -- SAs


async def initiate(context: Context, request: requests.Initiate) -> Shape:
    """Waits until the child (or the IKE SA, where no child is named) stands, unless told otherwise."""
    control = context.control
    connection = _connection_for(list(control.connections()), request.ike, request.child)

    def concerns(event: Event) -> bool:
        return event.ike is not None and event.ike.name == connection.name and event.level <= request.loglevel

    what = f"child '{request.child}'" if request.child else f"IKE SA '{connection.name}'"
    done = await _follow(
        context, lambda token: Initiate(token, connection.name, request.child), concerns, request.timeout
    )
    if done is None and request.timeout > 0:
        raise RequestError(f"{what} not established after {request.timeout} ms; the attempt goes on in the background")
    if done is not None and done.error is not None:
        raise RequestError(f"establishing {what} failed: {done.error}")
    return shapes.succeeded()


def _connection_for(connections: list[Connection], ike: str, child: str) -> Connection:
    """The connection that a child's or connection's name means. Raises RequestError."""
    if not ike and not child:
        raise RequestError("say what to initiate: child, ike or both")
    names = [connection.name for connection in connections]
    if ike and ike not in names:
        raise RequestError(f"there is no connection '{ike}'" + near(ike, names))
    candidates = [connection for connection in connections if ike in ("", connection.name)]
    if not child:
        return candidates[0]
    for connection in candidates:
        if any(each.name == child for each in connection.children):
            return connection
    children = [each.name for connection in candidates for each in connection.children]
    where = f" in connection '{ike}'" if ike else ""
    raise RequestError(f"there is no child '{child}'{where}" + near(child, children))


async def terminate(context: Context, request: requests.Terminate) -> Shape:
    """Waits until everything that matched is closed, unless told otherwise."""
    selection = _selection(request, "terminate")
    ids, matches = await _find(context, selection)
    called = not selection.of_children and not selection.ike_id and context.control.is_calling(selection.ike)
    if not matches and not called:
        return shapes.failed("no matching SAs to terminate found", matches=0, terminated=0)

    def concerns(event: Event) -> bool:
        return event.ike is not None and event.ike.uniqueid in ids and event.level <= request.loglevel

    done = await _follow(context, lambda token: Terminate(token, selection, request.force), concerns, request.timeout)
    if done is None and request.timeout > 0:
        why = f"not terminated after {request.timeout} ms; the attempt goes on in the background"
        return shapes.failed(why, matches=matches, terminated=0)
    if done is not None and done.error is not None:
        return shapes.failed(f"terminating failed: {done.error}", matches=done.matches, terminated=done.done)
    if done is None:
        return shapes.succeeded(matches=matches, terminated=0)
    return shapes.succeeded(matches=done.matches, terminated=done.done)


async def rekey(context: Context, request: requests.Rekey) -> Shape:
    selection = _selection(request, "rekey")
    _, matches = await _find(context, selection)
    if not matches:
        return shapes.failed("no matching SAs to rekey found", matches=0)
    done = await _follow(context, lambda token: Rekey(token, selection, request.reauth), lambda event: False, 0)
    if done is not None and done.error is not None:
        return shapes.failed(f"rekeying failed: {done.error}", matches=done.matches)
    return shapes.succeeded(matches=matches)


async def configure(context: Context, request: requests.Configure) -> Shape:
    """Ours alone: clients hear what their pools have now, or peers are asked about themselves."""
    selection = _selection(request, "configure")
    ids, matches = await _find(context, selection)
    if not matches:
        return shapes.failed("no matching SAs to configure found", matches=0)

    def concerns(event: Event) -> bool:
        return event.ike is not None and event.ike.uniqueid in ids and event.level <= 1

    done = await _follow(context, lambda token: Configure(token, selection, request.ask), concerns, 0)
    if done is not None and done.error is not None:
        return shapes.failed(done.error, matches=done.matches)
    return shapes.succeeded(matches=matches)


async def redirect(context: Context, request: requests.Redirect) -> Shape:
    """Send clients to another gateway (RFC 5685)."""
    if not any((request.ike, request.ike_id, request.peer_ip, request.peer_id)):
        raise RequestError("say whom to redirect: ike, ike-id, peer-ip or peer-id")
    try:
        to = gateway(request.gateway)
        peer = AddressSpec.parse(request.peer_ip) if request.peer_ip else None
        identity = IdentityPattern.parse(request.peer_id) if request.peer_id else None
    except ValueError as failure:
        raise RequestError(str(failure)) from None
    done = await _follow(
        context,
        lambda token: Redirect(token, to, request.ike, request.ike_id, peer, identity),
        lambda event: False,
        0,
    )
    if done is not None and done.error is not None:
        return shapes.failed(f"not redirected: {done.error}", matches=done.matches)
    return shapes.succeeded(matches=0 if done is None else done.matches)


def _selection(request: requests.Select, verb: str) -> Selection:
    if request.selection == Selection():
        raise RequestError(f"say what to {verb}: child, ike, child-id or ike-id")
    return request.selection


async def _follow(
    context: Context,
    command: Callable[[int], Begun],
    concerns: Callable[[Event], bool],
    timeout: int,
) -> CommandDone | None:
    """Begin a command and stream its log until it ends; None if that is not waited for any longer.

    `timeout` as vici has it: milliseconds, 0 for ever, negative not at all.
    Who hangs up meanwhile does not stop what was begun.
    """
    within = None if timeout == 0 else max(0, timeout) / 1000
    async with context.follow(concerns, within) as running:
        context.control.command(command(running.token))
        async for line in running:
            if timeout >= 0:
                await context.emit("control-log", shapes.control_log(line))
        return running.done


async def _find(context: Context, selection: Selection) -> tuple[frozenset[int], int]:
    """(the IKE SAs' numbers, how many IKE SAs or children are meant)."""
    ids, matches = [], 0
    async for sa in context.control.ike_sas(selection):
        children = _matching(sa, selection)
        if children is not None:
            ids.append(sa.uniqueid)
            matches += len(children) if selection.of_children else 1
    return frozenset(ids), matches


def _matching(sa: IkeSaView, selection: Selection) -> tuple[ChildSaView, ...] | None:
    """The children of `sa` that the selection means, or None if it does not mean this SA at all."""
    if selection.ike not in ("", sa.name) or selection.ike_id not in (0, sa.uniqueid):
        return None
    if not selection.of_children:
        return sa.children
    children = tuple(
        child
        for child in sa.children
        if selection.child in ("", child.name) and selection.child_id in (0, child.uniqueid)
    )
    return children or None


async def list_sas(context: Context, request: requests.ListSas) -> Shape:
    """One event for each SA, as it is found: a long list costs no memory."""
    async for sa in context.control.ike_sas(request.selection):
        children = _matching(sa, request.selection)
        if children is not None:
            await context.emit("list-sa", shapes.ike_sa(sa, children))
    return {}


# -- policies without SAs


async def install(context: Context, request: requests.Install) -> Shape:
    """Waits until the trap or the shunt stands: a peer given by name is looked up first."""
    ike, child = _child_for(context, request)
    done = await _follow(context, lambda token: Install(token, ike, child), lambda event: False, 0)
    if done is not None and done.error is not None:
        raise RequestError(f"installing '{ike}/{child}' failed: {done.error}")
    return shapes.succeeded()


async def uninstall(context: Context, request: requests.Install) -> Shape:
    """By name alone: the configuration may be gone already."""
    found = [one for one in context.control.sentries() if _named_by(one, request)]
    ike, child = (found[0].connection, found[0].name) if found else _child_for(context, request)
    done = await _follow(context, lambda token: Uninstall(token, ike, child), lambda event: False, 0)
    if done is not None and done.error is not None:
        raise RequestError(done.error)
    return shapes.succeeded()


def _child_for(context: Context, request: requests.Install) -> tuple[str, str]:
    if not request.child:
        raise RequestError("say which child is meant: child, and ike if several have one of that name")
    return _connection_for(list(context.control.connections()), request.ike, request.child).name, request.child


def _named_by(sentry: Sentry, request: requests.Install | requests.ListPolicies) -> bool:
    return request.ike in ("", sentry.connection) and request.child in ("", sentry.name)


async def list_policies(context: Context, request: requests.ListPolicies) -> Shape:
    wanted = {Mode.PASS: request.pass_, Mode.DROP: request.drop}
    for sentry in list(context.control.sentries()):
        if wanted.get(sentry.mode, request.trap) and _named_by(sentry, request):
            await context.emit("list-policy", shapes.policy(sentry))
    return {}


# -- connections


async def load_conn(context: Context, request: requests.Section) -> Shape:
    connection = connection_from_vici(request.name, request.tree, context.control.read_file)
    await context.control.load_connection(connection)
    return _taken(warnings(connection))


def _taken(warned: Iterable[str]) -> Shape:
    """It was loaded, and this should be known of it."""
    told = list(warned)
    return {**shapes.succeeded(), "warnings": told} if told else shapes.succeeded()


async def unload_conn(context: Context, request: requests.Named) -> Shape:
    if not await context.control.unload_connection(request.name):
        names = [connection.name for connection in context.control.connections()]
        raise RequestError(f"there is no connection '{request.name}'" + near(request.name, names))
    return shapes.succeeded()


async def get_conns(context: Context, request: requests.Nothing) -> Shape:
    return {"conns": [connection.name for connection in context.control.connections()]}


async def list_conns(context: Context, request: requests.ListConns) -> Shape:
    for connection in list(context.control.connections()):
        if request.ike in ("", connection.name):
            await context.emit("list-conn", {connection.name: shapes.connection(connection)})
    return {}


# -- credentials

NAMELESS = "(no id) "  # begins the names we give to secrets that came without one


async def load_cert(context: Context, request: requests.Raw) -> Shape:
    loaded = certificate_from_vici(request.tree)
    if isinstance(loaded, PublicKey):
        await context.control.credentials.load_public_key(loaded)
    elif isinstance(loaded, Crl):
        await context.control.credentials.load_crl(loaded)
    else:
        await context.control.credentials.load_certificate(loaded)
    return shapes.succeeded()


async def load_key(context: Context, request: requests.Raw) -> Shape:
    key_id = await context.control.credentials.load_key(key_from_vici(request.tree))
    return {**shapes.succeeded(), "id": key_id}


async def unload_key(context: Context, request: requests.Identified) -> Shape:
    if not await context.control.credentials.unload_key(request.id.lower()):
        raise RequestError(f"there is no key '{request.id}'")
    return shapes.succeeded()


async def get_keys(context: Context, request: requests.Nothing) -> Shape:
    return {"keys": list(context.control.credentials.keys())}


async def load_shared(context: Context, request: requests.Raw) -> Shape:
    """A secret without an id is known by its owners, so that loading it again replaces it."""
    secret = secret_from_vici(request.tree)
    if not secret.name:
        owners = ", ".join(str(owner) for owner in secret.owners)
        secret = replace(secret, name=NAMELESS + (owners or "%any"))
    await context.control.credentials.load_secret(secret)
    return _taken(secret_warnings(secret))


async def unload_shared(context: Context, request: requests.Identified) -> Shape:
    if not await context.control.credentials.unload_secret(request.id):
        names = _named(context.control.credentials.secrets())
        raise RequestError(f"there is no shared secret '{request.id}'" + near(request.id, names))
    return shapes.succeeded()


async def get_shared(context: Context, request: requests.Nothing) -> Shape:
    return {"keys": _named(context.control.credentials.secrets())}


async def load_authority(context: Context, request: requests.Section) -> Shape:
    authority = authority_from_vici(request.name, request.tree, context.control.read_file)
    await context.control.credentials.load_authority(authority)
    return shapes.succeeded()


async def unload_authority(context: Context, request: requests.Named) -> Shape:
    if not await context.control.credentials.unload_authority(request.name):
        names = context.control.credentials.authorities()
        raise RequestError(f"there is no authority '{request.name}'" + near(request.name, names))
    return shapes.succeeded()


async def get_authorities(context: Context, request: requests.Nothing) -> Shape:
    return {"authorities": list(context.control.credentials.authorities())}


async def list_authorities(context: Context, request: requests.Named) -> Shape:
    for name, authority in list(context.control.credentials.authorities().items()):
        if request.name in ("", name):
            await context.emit("list-authority", {name: shapes.authority(authority)})
    return {}


async def list_certs(context: Context, request: requests.ListCerts) -> Shape:
    """End entities first, then CAs and OCSP signers, CRLs and OCSP responses, each with its DER."""
    subject = _subject(request.subject) if request.subject else None
    kind, flag = request.type.upper(), request.flag.upper()
    credentials = context.control.credentials
    listed: list[Shape] = []
    if kind in ("ANY", "X509"):
        certificates = sorted(credentials.certificates(), key=lambda each: each.ca)
        listed += [shapes.certificate(each) for each in certificates if _is_of(each.der, subject)]
        listed += [shapes.der("X509", der, "OCSP") for der in credentials.signers() if _is_of(der, subject)]
    if kind in ("ANY", "PUBKEY") and subject is None:
        listed += [shapes.der("PUBKEY", spki) for spki in credentials.public_keys()]
    if kind in ("ANY", "X509_CRL") and subject is None:
        listed += [shapes.der("X509_CRL", der) for der in credentials.crls() if len(der) <= MAX_VALUE]
    if kind in ("ANY", "OCSP_RESPONSE") and subject is None:
        listed += [shapes.der("OCSP_RESPONSE", der) for der in credentials.ocsp_responses()]
    for shape in listed:
        if flag in ("ANY", shape["flag"]):
            await context.emit("list-cert", shape)
    return {}


def _is_of(der: bytes, subject: Identity | None) -> bool:
    return subject is None or any(name.same(subject) for name in Certificate.read(der).names)


def _subject(text: str) -> Identity:
    try:
        return Identity.parse(text)
    except ValueError as error:
        raise RequestError(f"subject: {error}") from None


async def flush_certs(context: Context, request: requests.FlushCerts) -> Shape:
    kind = request.type.upper()
    await context.control.credentials.flush_certificates(
        crls=kind in ("ANY", "X509_CRL"), responses=kind in ("ANY", "OCSP_RESPONSE")
    )
    return shapes.succeeded()


async def clear_creds(context: Context, request: requests.Nothing) -> Shape:
    await context.control.credentials.clear()
    return shapes.succeeded()


def _named(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith(NAMELESS)]


# -- pools


async def get_pools(context: Context, request: requests.GetPools) -> Shape:
    pools = [pool for pool in context.control.pools.all() if request.name in ("", pool.name)]
    return shapes.pools(pools, request.leases)


async def load_pool(context: Context, request: requests.Section) -> Shape:
    await context.control.pools.load(pool_from_vici(request.name, request.tree))
    return shapes.succeeded()


async def unload_pool(context: Context, request: requests.Named) -> Shape:
    if not await context.control.pools.unload(request.name):
        names = [pool.name for pool in context.control.pools.all()]
        raise RequestError(f"there is no pool '{request.name}'" + near(request.name, names))
    return shapes.succeeded()


# -- the table

Serve: TypeAlias = "Callable[[Context, Any], Awaitable[Shape]]"


@dataclass(frozen=True, slots=True)
class Command:
    """A row: what may be asked, who serves it, the event it streams to the client that asked."""

    request: type[requests.Request]
    serve: Serve
    stream: str = ""


# fmt: off
COMMANDS: dict[str, Command] = {
    "version":          Command(requests.Nothing,    version),
    "stats":            Command(requests.Nothing,    stats),
    "reload-settings":  Command(requests.Nothing,    reload_settings),
    "get-algorithms":   Command(requests.Nothing,    get_algorithms),
    "initiate":         Command(requests.Initiate,   initiate,         "control-log"),
    "terminate":        Command(requests.Terminate,  terminate,        "control-log"),
    "rekey":            Command(requests.Rekey,      rekey),
    "configure":        Command(requests.Configure,  configure,        "control-log"),
    "redirect":         Command(requests.Redirect,   redirect),
    "install":          Command(requests.Install,    install),
    "uninstall":        Command(requests.Install,    uninstall),
    "list-policies":    Command(requests.ListPolicies, list_policies,  "list-policy"),
    "list-sas":         Command(requests.ListSas,    list_sas,         "list-sa"),
    "load-conn":        Command(requests.Section,    load_conn),
    "unload-conn":      Command(requests.Named,      unload_conn),
    "get-conns":        Command(requests.Nothing,    get_conns),
    "list-conns":       Command(requests.ListConns,  list_conns,       "list-conn"),
    "load-cert":        Command(requests.Raw,   load_cert),
    "list-certs":       Command(requests.ListCerts,  list_certs,       "list-cert"),
    "flush-certs":      Command(requests.FlushCerts, flush_certs),
    "load-key":         Command(requests.Raw,    load_key),
    "unload-key":       Command(requests.Identified, unload_key),
    "get-keys":         Command(requests.Nothing,    get_keys),
    "load-shared":      Command(requests.Raw, load_shared),
    "unload-shared":    Command(requests.Identified, unload_shared),
    "get-shared":       Command(requests.Nothing,    get_shared),
    "clear-creds":      Command(requests.Nothing,    clear_creds),
    "load-authority":   Command(requests.Section,    load_authority),
    "unload-authority": Command(requests.Named,      unload_authority),
    "get-authorities":  Command(requests.Nothing,    get_authorities),
    "list-authorities": Command(requests.Named,      list_authorities, "list-authority"),
    "get-pools":        Command(requests.GetPools,   get_pools),
    "load-pool":        Command(requests.Section,    load_pool),
    "unload-pool":      Command(requests.Named,      unload_pool),
}
# fmt: on

EVENTS = BROADCAST_NAMES | {command.stream for command in COMMANDS.values() if command.stream}


async def run(context: Context, call: Call) -> Shape:
    """Serve one call. Raises IkectlError: what to tell the client."""
    if call.message is None:
        raise RequestError(call.fault)
    command = COMMANDS[call.name]
    return await command.serve(context, command.request.read(call.message))
