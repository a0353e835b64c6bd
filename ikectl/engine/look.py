"""Looking at machines: snapshots for whoever shows them. Pure; changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ikectl.engine.driver import Driver
from ikectl.engine.view import ChildSaView, IkeSaView, TasksView
from ikectl.sa.asks import Usage
from ikectl.sa.association import Association
from ikectl.sa.child_sa import ChildSa

UsageOf = Callable[[ChildSa], "Usage | None"]


def _unknown(child: ChildSa) -> Usage | None:
    return None


def view_ike(machine: Driver[Any], now: float, usage: UsageOf = _unknown) -> IkeSaView:
    """The SA of a machine with its children and exchanges, as of `now`; `usage` tells what a child carried."""
    return view_sa(machine.sa, now, usage, machine.tasks)


def view_sa(sa: Association, now: float, usage: UsageOf = _unknown, tasks: TasksView | None = None) -> IkeSaView:
    """An SA by its facts alone; its machine may be gone."""
    children = tuple(ChildSaView.of(child, now, usage(child)) for child in sa.children.values())
    return IkeSaView.of(sa, now, children, tasks)
