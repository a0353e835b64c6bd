"""Names of the domain name system, as peers and operators write them."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_DOMAIN = 253
"""Characters (RFC 1035 §2.3.4, in presentation format)."""
_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")


def is_domain(text: str) -> bool:
    """Whether `text` is a name, the root excepted: letters, digits, hyphens and underscores in labels, the dot at the
    end left out or not. So it may stand in files and commands as it is."""
    return len(text) <= MAX_DOMAIN and _DOMAIN.fullmatch(text) is not None


def is_below(name: str, domain: str) -> bool:
    """Whether `name` is `domain` or belongs to it."""
    name, domain = (text.rstrip(".").lower() for text in (name, domain))
    return name == domain or name.endswith(f".{domain}")


def within(names: Iterable[str], allowed: Iterable[str]) -> tuple[str, ...]:
    """What the domains `names` and the domains `allowed` have in common, each once."""
    allowed = tuple(allowed)
    common = (
        name if is_below(name, other) else other
        for name in names
        for other in allowed
        if is_below(name, other) or is_below(other, name)
    )
    return tuple(dict.fromkeys(common))
