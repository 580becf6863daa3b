"""`python -m regtorch`: the same as the command `regtorch`."""

import sys

from regtorch.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
