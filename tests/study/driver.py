"""The command line, with rows made quick: ``python -m tests.study.driver study run ...``."""

import sys

if __name__ == "__main__":
    from prunus.cli import main
    from prunus.study.engine import _process

    _process.PRELOADED.append("tests.study.quick")
    sys.exit(main())
