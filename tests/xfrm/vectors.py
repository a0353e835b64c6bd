"""Reads the recorded messages of tests/vectors/xfrm."""

from pathlib import Path

DIRECTORY = Path(__file__).parents[1] / "vectors" / "xfrm"


def load(name: str) -> dict[str, bytes]:
    """Section name -> octets, in the order of the file."""
    found: dict[str, bytearray] = {}
    section = bytearray()
    for line in (DIRECTORY / name).read_text().splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), bytearray())
        elif line and not line.startswith("#"):
            section += bytes.fromhex(line)
    return {name: bytes(octets) for name, octets in found.items()}
