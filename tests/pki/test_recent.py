"""A bounded memory."""

from __future__ import annotations

from ikectl.pki.recent import Recent


def test_the_least_recently_used_is_forgotten_first() -> None:
    recent: Recent[int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1

    recent.put("c", 3)

    assert (recent.get("a"), recent.get("b"), recent.get("c"), len(recent)) == (1, None, 3, 2)


def test_an_answer_may_be_replaced_and_all_forgotten() -> None:
    recent: Recent[int] = Recent(2)
    recent.put("a", 1)
    recent.put("a", 2)

    assert recent.get("a") == 2 and len(recent) == 1
    recent.clear()
    assert recent.get("a") is None
