"""The process that parses: it dies by itself when a file takes too long.

Some grammars hang inside C code that no Python signal handler can leave, and holds the GIL. So the
operating system's own CPU timer kills this process; the parent sees the pipe close and goes on
with a fresh one. No document can stop a build, and no orphan is left.
"""

from __future__ import annotations

import contextlib
import signal
import warnings
from typing import TYPE_CHECKING

from training.corpus.faults import fault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection


def serve(connection: Connection, limit_s: float, limits: Mapping[str, float]) -> None:
    """Answer `(language, text)` with a verdict, until the pipe closes."""
    warnings.simplefilter("ignore")  # `ast.parse` warns about the files' own mistakes
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    # A build that was killed closes the pipe, at any moment.
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            language, text = connection.recv()
            signal.setitimer(signal.ITIMER_PROF, limit_s)
            answer = verdict(language, text, limits)
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.send(answer)


def verdict(language: str, text: str, limits: Mapping[str, float]) -> tuple[str, str | None]:
    """Return the language a text turns out to be, and the reason to drop it or None."""
    reason = fault(language, text, limits[language])
    if reason is not None and language == "c" and fault("cpp", text, limits["cpp"]) is None:
        return "cpp", None
    return language, reason
