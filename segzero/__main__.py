"""`python -m segzero` is the `segzero` command."""

import sys

from segzero.cli import main

sys.exit(main())
