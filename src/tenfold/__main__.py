"""`python -m tenfold`."""

import sys

from tenfold.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
