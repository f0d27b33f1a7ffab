"""``python -m mere_helpers``."""

import sys

from .reading.cli import main

sys.exit(main())
