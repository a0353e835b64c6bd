"""`python -m tests.sim.replay SEED [v1|road|wide|mobile]`: live one life again and print its ladder."""

from __future__ import annotations

import sys

from tests.sim.sweep import kind_of_life


def main() -> None:
    life = kind_of_life(sys.argv[-1])(int(sys.argv[1]))
    try:
        life.run()
    finally:
        print("\n".join(life.world.ladder))


if __name__ == "__main__":
    main()
