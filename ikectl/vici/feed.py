"""Events of the engine as the events clients register for: log lines, SAs up and down, alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from ikectl.engine.view import ChildSaView, IkeSaView
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.events import (
    AuthFailed,
    ChildDown,
    ChildFailed,
    ChildRekeyed,
    ChildUp,
    Event,
    IkeDown,
    IkeRekeyed,
    IkeUp,
    NoInnerAddress,
    ProposalMismatch,
    Retransmitted,
    RetransmitTimeout,
    TsMismatch,
)
from ikectl.vici import shapes
from ikectl.vici.ports import Control, LogLine
from ikectl.vici.shapes import Shape

LOG_LEVEL = 1  # the `log` event carries levels up to this one


Story: TypeAlias = "Callable[[Any, Control], Shape]"


def _ike_up(event: IkeUp, control: Control) -> Shape:
    return {"up": "yes", **shapes.ike_sa(control.view(event.sa), None)}


def _ike_down(event: IkeDown, control: Control) -> Shape:
    return shapes.ike_sa(control.view(event.sa), None)


def _ike_rekeyed(event: IkeRekeyed, control: Control) -> Shape:
    old, new = control.view(event.sa), control.view(event.new)
    return {new.name: {"old": shapes.ike_keys(old), "new": shapes.ike_keys(new)}}


def _child_up(event: ChildUp, control: Control) -> Shape:
    view = control.view(event.sa)
    return {"up": "yes", **shapes.ike_sa(view, _one(view, event.child, control))}


def _child_down(event: ChildDown, control: Control) -> Shape:
    view = control.view(event.sa)
    return shapes.ike_sa(view, _one(view, event.child, control))


def _child_rekeyed(event: ChildRekeyed, control: Control) -> Shape:
    view = control.view(event.sa)
    pair: Shape = {}
    for key, child in (("old", event.old), ("new", event.new)):
        for seen in _one(view, child, control):
            pair[key] = shapes.child_sa(seen)
    return {view.name: {**shapes.ike_keys(view), "child-sas": {event.new.name: pair}}}


def _one(view: IkeSaView, child: ChildSa, control: Control) -> tuple[ChildSaView, ...]:
    """The child as the SA's snapshot shows it, or as it was when it has left the SA already."""
    seen = tuple(each for each in view.children if each.uniqueid == child.uniqueid)
    return seen or (control.view_child(child),)


def _alert(kind: str) -> Story:
    def shape(event: Event, control: Control) -> Shape:
        sa = event.ike
        about: Shape = {} if sa is None else {"ike-sa": shapes.ike_sa(control.view(sa), None)}
        return {"type": kind, "msg": event.text(), **about}

    return shape


def _auth_failed(event: AuthFailed, control: Control) -> Shape:
    return _alert("peer-auth-failed" if event.peer else "local-auth-failed")(event, control)


def _proposal_mismatch(event: ProposalMismatch, control: Control) -> Shape:
    return _alert("proposal-mismatch-child" if event.child else "proposal-mismatch-ike")(event, control)


# fmt: off
BROADCASTS: dict[type[Event], tuple[str, Story]] = {
    IkeUp:             ("ike-updown",   _ike_up),
    IkeDown:           ("ike-updown",   _ike_down),
    IkeRekeyed:        ("ike-rekey",    _ike_rekeyed),
    ChildUp:           ("child-updown", _child_up),
    ChildDown:         ("child-updown", _child_down),
    ChildRekeyed:      ("child-rekey",  _child_rekeyed),
    AuthFailed:        ("alert",        _auth_failed),
    ProposalMismatch:  ("alert",        _proposal_mismatch),
    TsMismatch:        ("alert",        _alert("ts-mismatch")),
    NoInnerAddress:    ("alert",        _alert("vip-failure")),
    ChildFailed:       ("alert",        _alert("keep-on-child-sa-failure")),
    Retransmitted:     ("alert",        _alert("retransmit-send")),
    RetransmitTimeout: ("alert",        _alert("retransmit-send-timeout")),
}
# fmt: on

BROADCAST_NAMES = frozenset(("log", *(name for name, _ in BROADCASTS.values())))


def broadcasts(event: Event, control: Control, wanted: Callable[[str], bool]) -> Iterator[tuple[str, Shape]]:
    """(name, message) of the vici events that this one becomes; only those that somebody wants are made."""
    if event.level <= LOG_LEVEL and wanted("log"):
        yield "log", shapes.log(LogLine.of(event))
    row = BROADCASTS.get(type(event))
    if row is not None and wanted(row[0]):
        name, story = row
        yield name, story(event, control)
