"""The `keydesk` command: opens the desk, the worker or one errand."""

import sys
from pathlib import Path

__version__ = "0.1.0"

# Installed, the four folders sit inside this package; in a checkout, beside it.
_HERE = str(Path(__file__).parent)
if _HERE not in sys.path:
    sys.path.insert(0, _HERE)
