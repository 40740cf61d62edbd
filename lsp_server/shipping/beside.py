"""Starting the machine's shipper from a language server; imports nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys

_DETACHED_ON_WINDOWS = 0x00000208
"""`DETACHED_PROCESS` and `CREATE_NEW_PROCESS_GROUP`."""


def start_beside() -> None:
    """Start the machine's shipper, unless there is one. Blocks for the start of a process."""
    command = [sys.executable, "-P", "-m", "fimble", "ship"]
    null = subprocess.DEVNULL
    if os.name == "nt":
        flags = _DETACHED_ON_WINDOWS
        subprocess.Popen(command, stdin=null, stdout=null, stderr=null, creationflags=flags)
    else:
        subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)
