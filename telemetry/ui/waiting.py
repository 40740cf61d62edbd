"""Waiting for a server of this machine to answer."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_S = 0.1
WAIT_S = 60.0


def wait_until_open(host: str, port: int, *, is_alive: Callable[[], bool]) -> bool:
    """Return whether somebody listens at a port before its process ends, or a minute is over."""
    deadline_s = time.monotonic() + WAIT_S
    while is_alive() and time.monotonic() < deadline_s:
        try:
            with socket.create_connection((host, port), timeout=POLL_S):
                return True
        except OSError:
            time.sleep(POLL_S)
    return False
