"""The process that works on one part of a puzzle; see `puzzles.py`. It imports little, for it lives shortly."""

from __future__ import annotations

import sys

from ikectl.crypto.puzzle import search
from ikectl.crypto.transforms import PRF_BY_ID
from ikectl.iana.v2 import PrfId


def main(arguments: list[str]) -> None:
    """Words in: prf, bits, start, tries, keys wanted, and the data in hexadecimal. The keys out, likewise."""
    number, bits, start, tries, wanted = map(int, arguments[:5])
    keys = search(PRF_BY_ID[PrfId(number)].prf, bytes.fromhex(arguments[5]), bits, start, tries, wanted)
    sys.stdout.write(" ".join([key.hex() for key in keys]))


if __name__ == "__main__":
    main(sys.argv[1:])
