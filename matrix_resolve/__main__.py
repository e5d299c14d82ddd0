"""`python -m matrix_resolve` is `matrix-resolve`."""

import sys

from matrix_resolve.cli import main

sys.exit(main())
