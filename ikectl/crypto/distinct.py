"""Distinct: a key exchange method for each type that wants one, none of them twice (RFC 9370 §2.2.1).

Choosing the best method of each type in turn may leave a later type without
any, though another choice would have given every one its own. So before a
method is taken it is asked whether the later types can do without it.
"""

from __future__ import annotations

from collections.abc import Sequence


def completes(choices: Sequence[Sequence[int]], used: Sequence[int]) -> bool:
    """Whether each of `choices` can have one of its methods, which are in none of the others nor in `used`.

    A matching by augmenting paths: its cost grows with the square of what is configured, whatever a peer offers.
    """
    taken: dict[int, int] = {}

    def place(at: int, tried: set[int]) -> bool:
        for method in choices[at]:
            if method in used or method in tried:
                continue
            tried.add(method)
            if method not in taken or place(taken[method], tried):
                taken[method] = at
                return True
        return False

    return all(place(at, set()) for at in range(len(choices)))
