"""`python -m tests.sim.replay SEED`: live one life again and print its ladder."""

from __future__ import annotations

import sys

from tests.sim.mixed import Life


def main() -> None:
    life = Life(int(sys.argv[1]))
    try:
        life.run()
    finally:
        print("\n".join(life.world.ladder))


if __name__ == "__main__":
    main()
