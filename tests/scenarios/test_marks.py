"""Marks of a child's own: given when it is installed, kept by what replaces it, given back in the end."""

from __future__ import annotations

from dataclasses import replace

from ikectl.config.model import Fresh, Mark
from tests.scenarios.stage import stands, tunnel, wait
from tests.sim.site import child

UNIQUE = Mark(0, 0x3, Fresh.CHILD)
"""Three marks in all: whoever keeps one too long is found out."""
MARKED = replace(child(), mark_in=UNIQUE, mark_out=UNIQUE, set_mark_in=UNIQUE)


def test_a_successor_keeps_the_marks_of_the_child_it_replaces() -> None:
    site, _ = tunnel(moon_children=(MARKED,))
    first = site.moon.children[0].marks
    assert first.into == first.out == first.set_into == Mark(1, 0x3)
    for host in (site.moon, site.sun) * 3:
        host.rekey(site.world.now, "site", "net")
        wait(site, 30)
        assert stands(site)
        assert site.moon.children[0].marks == first
    assert site.sun.children[0].given_marks is None


def test_a_new_child_has_new_marks_and_the_old_ones_come_back_last() -> None:
    site, _ = tunnel(moon_children=(MARKED,))
    values = []
    for _ in range(4):
        values.append(site.moon.children[0].marks.into.value)
        site.moon.terminate(site.world.now, "site")
        wait(site, 30)
        assert not site.moon.machines
        site.up()
        assert stands(site)
    assert values == [1, 2, 3, 1]


def test_a_child_that_no_mark_is_left_for_is_refused_and_leaves_nothing() -> None:
    one = Mark(0, 0x1, Fresh.DIRECTION)  # two are wanted of one
    site, _ = tunnel()
    site.moon.load(replace(site.moon.machines[0].sa.connection, children=(replace(MARKED, mark_in=one, mark_out=one),)))
    site.moon.terminate(site.world.now, "site")
    wait(site, 30)
    site.up()
    wait(site, 60)
    assert not site.moon.children and not site.moon.kernel.larval and not site.moon.kernel.inbound
