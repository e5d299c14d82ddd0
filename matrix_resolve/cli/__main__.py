"""`python -m matrix_resolve.cli` is `matrix-resolve`."""

import sys

from matrix_resolve.cli import main

sys.exit(main())
