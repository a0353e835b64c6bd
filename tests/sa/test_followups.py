"""Links of additional key exchanges: what is remembered, and that nothing serves twice (RFC 9370 §2.2.4)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ikectl.iana.v2 import KeyExchangeMethod
from ikectl.sa.followups import MAX_PENDING, Followup, Followups


def followup(plan: str = "", replaces: object = None) -> Followup[str]:
    return Followup(plan, (KeyExchangeMethod.ML_KEM_768,), replaces)


@given(st.lists(st.sampled_from(["put", "drop", "again"]), max_size=40), st.binary(max_size=8))
def test_a_link_finds_what_it_was_given_for_and_nothing_else(steps: list[str], strange: bytes) -> None:
    """However they come and go: no link is given twice, and only those not dropped are found."""
    followups: Followups[str] = Followups()
    links: dict[bytes, Followup[str]] = {}
    given_out: list[bytes] = []
    for number, step in enumerate(steps):
        if step == "put" or not links:
            made = followup(str(number))
            links[followups.put(made)] = made
        else:
            link, made = links.popitem()
            followups.drop(made)
            if step == "again":  # the next exchange of the same series
                links[followups.put(made)] = made
            assert followups.get(link) is None
        given_out += [link for link in links if link not in given_out]
    assert len(set(given_out)) == len(given_out)
    assert all(followups.get(link) is made for link, made in links.items())
    assert strange in links or followups.get(strange) is None
    assert followups.full is (len(links) >= MAX_PENDING)


def test_what_renews_the_same_is_found() -> None:
    followups: Followups[str] = Followups()
    old, other = object(), object()
    made = followup("", old)
    followups.put(followup())
    followups.put(made)
    assert followups.replacing(old) is made and followups.replacing(other) is None
    followups.drop(made)
    followups.drop(made)
    assert followups.replacing(old) is None and len(followups.pending) == 1


def test_secrets_do_not_print() -> None:
    made = followup()
    made.secrets = type(made.secrets)(b"of three key exchanges")
    assert "of three" not in repr(made)
