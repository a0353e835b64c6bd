"""`python -m tests.sim.replay SEED [v1]`: live one life again and print its ladder."""

from __future__ import annotations

import sys

from tests.sim.mixed import Life
from tests.sim.mixed_v1 import LifeV1


def main() -> None:
    life = (LifeV1 if "v1" in sys.argv else Life)(int(sys.argv[1]))
    try:
        life.run()
    finally:
        print("\n".join(life.world.ladder))


if __name__ == "__main__":
    main()
