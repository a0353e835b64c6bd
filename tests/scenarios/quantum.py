"""Gateways with post-quantum pre-shared keys."""

from __future__ import annotations

from typing import Any

from ikectl.values.identity import Identity
from tests.scenarios.stage import gateways
from tests.sim.site import Site
from tests.sim.wiretap import Wiretap

KEY = {"quantum": b"256 bits that nobody guesses"}
OTHER = {"other": b"another key of another name"}
FALSE = {"quantum": b"of the same name, not the same"}
MINE = Identity.parse("quantum")


def sites(
    moon: dict[str, Any],
    sun: dict[str, Any] | None = None,
    moon_has: dict[str, bytes] = KEY,
    sun_has: dict[str, bytes] = KEY,
    **options: Any,
) -> tuple[Site, Wiretap]:
    return gateways(moon=moon, sun=sun or {}, moon_host={"ppks": moon_has}, sun_host={"ppks": sun_has}, **options)


def outcome(site: Site) -> str:
    """Of moon's call; empty if all went well."""
    return site.moon.done[site.up()].error or ""
