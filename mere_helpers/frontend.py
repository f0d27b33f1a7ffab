"""Is anybody looking? Whether there is a page that shows widgets."""

from __future__ import annotations

import os
import sys


def front_end() -> bool:
    """Whether somebody sees widgets: in Jupyter or an editor, but not under papermill, nbval or a shell."""
    seen = any(os.environ.get(name) for name in ("JPY_SESSION_NAME", "VSCODE_PID"))
    return seen and in_kernel() and not os.environ.get("MERE_HEADLESS")


def in_kernel() -> bool:
    """Whether we are in the kernel of a notebook, where what is printed becomes a part of the notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")
