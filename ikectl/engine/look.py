"""Looking at machines: snapshots for whoever shows them. Pure; changes nothing."""

from __future__ import annotations

from collections.abc import Callable

from ikectl.engine.v2.machine import Machine
from ikectl.engine.view import ChildSaView, IkeSaView, TasksView
from ikectl.sa.asks import Usage
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.ike_sa import IkeSa

UsageOf = Callable[[ChildSa], "Usage | None"]


def _unknown(child: ChildSa) -> Usage | None:
    return None


def view_ike(machine: Machine, now: float, usage: UsageOf = _unknown) -> IkeSaView:
    """The SA of a machine with its children and exchanges, as of `now`; `usage` tells what a child carried."""
    tasks = TasksView(
        queued=tuple(type(exchange).__name__ for exchange in machine.queue),
        active=(type(machine.active).__name__,) if machine.active is not None else (),
        passive=(machine.answering.name,) if machine.answering is not None else (),
    )
    return view_sa(machine.sa, now, usage, tasks)


def view_sa(sa: IkeSa, now: float, usage: UsageOf = _unknown, tasks: TasksView | None = None) -> IkeSaView:
    """An SA by its facts alone; its machine may be gone."""
    children = tuple(ChildSaView.of(child, now, usage(child)) for child in sa.children.values())
    return IkeSaView.of(sa, now, children, tasks)
