"""``python -m prunus``: what torchrun and accelerate can start."""

import sys

from prunus.cli import main

if __name__ == "__main__":
    sys.exit(main())
