"""Revocation in the daemon: what is fetched for whom, once for many, and what happens when nothing comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography import x509

from ikectl.config.model import Remote, Revocation
from ikectl.daemon.fetch import Fetcher
from ikectl.daemon.revocation import RevocationChecks
from ikectl.errors import CredentialError, Revoked
from ikectl.pki.certificate import Certificate
from ikectl.pki.revocation import Sources, opened
from ikectl.pki.store import Store
from ikectl.sa.asks import CheckRevocation, OwnResponse
from tests.daemon.http import HttpServer
from tests.pki.certs import NOW, Authority, Identified, Listed, key, points

STRICT, IFURI, RELAXED = (Remote(revocation=word) for word in Revocation)
ROOT = Authority.root("root")


@dataclass
class Desk:
    server: HttpServer
    store: Store
    checks: RevocationChecks
    leaf: Identified

    async def check(self, remote: Remote) -> None:
        await self.checks.check(CheckRevocation((self.leaf.der, ROOT.der), remote))


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    server = await HttpServer().start()
    store = Store()
    fetcher = Fetcher()
    checks = RevocationChecks(store, fetcher, lambda octets: bytes(range(octets)), lambda: NOW)
    leaf = ROOT.leaf("moon", extensions=points(crl=server.uri("/ca.crl"), ocsp=server.uri("/ocsp")))
    yield Desk(server, store, checks, leaf)
    await checks.close()
    await fetcher.close()
    await server.stop()


async def test_ocsp_settles_it(desk: Desk) -> None:
    desk.server.answers = {"/ocsp": lambda request: ROOT.ocsp(desk.leaf, request=request)}
    await desk.check(STRICT)
    await desk.check(STRICT)
    assert desk.server.asked == ["POST /ocsp"]


async def test_a_crl_where_ocsp_fails(desk: Desk) -> None:
    desk.server.answers = {"/ocsp": b"junk", "/ca.crl": ROOT.crl()}
    await desk.check(STRICT)
    assert desk.server.asked == ["POST /ocsp", "GET /ca.crl"]


class Aside(ThreadPoolExecutor):
    """Threads that write down what they are given to do."""

    def __init__(self) -> None:
        super().__init__(1)
        self.given: list[object] = []

    def submit(self, task: Any, /, *args: Any, **options: Any) -> Future[Any]:
        self.given += [each for each in getattr(task, "args", ()) if callable(each)]
        return super().submit(task, *args, **options)


async def test_a_crl_is_read_while_others_are_served(desk: Desk) -> None:
    """It may have hundred thousands of entries: a thread reads it and checks who signed it, not the loop."""
    aside = Aside()
    asyncio.get_running_loop().set_default_executor(aside)
    desk.server.answers = {"/ocsp": b"junk", "/ca.crl": ROOT.crl(by=key("ecdsa-256", "a forger"))}
    with pytest.raises(CredentialError, match="is wrong, or by another key"):
        await desk.check(STRICT)
    assert opened in aside.given
    with pytest.raises(CredentialError, match="is wrong, or by another key"):
        await desk.check(STRICT)
    assert desk.server.asked == ["POST /ocsp", "GET /ca.crl"], "what failed is not asked for again at once"


@pytest.mark.parametrize("remote", [STRICT, IFURI, RELAXED], ids=lambda remote: remote.revocation)
async def test_revoked(desk: Desk, remote: Remote) -> None:
    desk.server.answers = {"/ca.crl": ROOT.crl(Listed(desk.leaf, x509.ReasonFlags.superseded))}
    with pytest.raises(Revoked, match=r"superseded\), says the CRL from http://127\.0\.0\.1"):
        await desk.check(remote)


async def test_nothing_comes(desk: Desk) -> None:
    for remote in (STRICT, IFURI):
        with pytest.raises(CredentialError, match=r"OCSP at http://.*404 Not Found; CRL at http://.*404 Not Found"):
            await desk.check(remote)
    await desk.check(RELAXED)
    assert len(desk.server.asked) == 2, "what failed is left alone for a while"


async def test_an_answer_that_never_comes_ends_the_wait(desk: Desk) -> None:
    desk.server.silent = {"/ocsp"}
    fetcher = Fetcher()
    hasty = RevocationChecks(desk.store, fetcher, bytes, lambda: NOW, within=0.05)
    ask = CheckRevocation((desk.leaf.der, ROOT.der), STRICT)
    with pytest.raises(CredentialError, match="no answer in time"):
        await hasty.check(ask)
    await hasty.check(CheckRevocation(ask.path, RELAXED))
    await hasty.close()
    await fetcher.close()


async def test_many_peers_wait_for_one_fetch(desk: Desk) -> None:
    desk.server.silent = {"/ca.crl"}
    desk.server.answers = {"/ca.crl": ROOT.crl()}
    many = [asyncio.ensure_future(desk.check(STRICT)) for _ in range(50)]
    await desk.server.until_asked(2)
    desk.server.release()
    await asyncio.gather(*many)
    assert desk.server.asked == ["POST /ocsp", "GET /ca.crl"]


async def test_files_of_the_configuration_alone(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("crls") / "ca.crl"
    file.write_bytes(ROOT.crl())
    leaf = ROOT.leaf("sun", extensions=points(crl=f"file://{file}"))
    ask = CheckRevocation((leaf.der, ROOT.der), STRICT)
    with pytest.raises(CredentialError, match="only the configuration may name files"):
        await desk.checks.check(ask)
    plain = CheckRevocation((ROOT.leaf("plain").der, ROOT.der), STRICT)
    desk.store.revocations.set_sources("root", Certificate.read(ROOT.der).authority, Sources((f"file://{file}",)))
    await desk.checks.check(plain)


async def test_a_response_about_ourselves(desk: Desk) -> None:
    """RFC 4806: for the peer, without a nonce, and remembered; none where the responder or the CA is not known."""
    desk.server.answers = {"/ocsp": lambda request: ROOT.ocsp(desk.leaf, request=request)}
    ask = OwnResponse((desk.leaf.der,))
    assert await desk.checks.own(ask) == b"" and not desk.server.asked
    desk.store.add_certificate(ROOT.der, ca=True)
    sent = await desk.checks.own(ask)
    path = (Certificate.read(desk.leaf.der), Certificate.read(ROOT.der))
    assert Store().revocations.hear(sent, path, NOW)
    assert await desk.checks.own(ask) == sent
    assert desk.server.asked == ["POST /ocsp"]


async def test_no_response_about_ourselves(desk: Desk) -> None:
    desk.store.add_certificate(ROOT.der, ca=True)
    desk.server.answers = {"/ocsp": ROOT.ocsp(ROOT.leaf("sun"))}
    assert await desk.checks.own(OwnResponse((desk.leaf.der,))) == b""
    assert await desk.checks.own(OwnResponse((ROOT.leaf("plain").der,))) == b""
