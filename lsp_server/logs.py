"""The log of the language server: one file, written by a thread, without code of the user.

What the libraries log may quote messages, and messages hold source text. So a record of theirs
keeps its template and loses its arguments; an exception keeps its type and frames and loses its
message.
"""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import queue
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OUR_LOGGER = "fimble.lsp"
LOG_BYTES = 1_000_000
AFTER_S = 0.05
_FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"


def start_log(path: Path) -> logging.handlers.QueueListener | None:
    """Send the log of this process to a file; return what has to be stopped at the end.

    Where the file cannot be written, nothing is logged: a session does not depend on its log.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
        file = logging.FileHandler(path, encoding="utf-8")
    except OSError:
        logging.getLogger().addHandler(logging.NullHandler())
        return None
    file.setFormatter(logging.Formatter(_FORMAT))
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(waiting)
    handler.addFilter(without_code)
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    root.addHandler(handler)
    logging.getLogger(OUR_LOGGER).setLevel(logging.INFO)
    listener = logging.handlers.QueueListener(waiting, file)
    listener.start()
    return listener


class RequestLog:
    """A line a request, logged once its answer is written: to log is to wake a thread."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def note(self, line: str) -> None:
        """Log a line soon; it holds no code."""
        if not self._lines:
            asyncio.get_running_loop().call_later(AFTER_S, self.write)
        self._lines.append(line)

    def write(self) -> None:
        """Log what waits."""
        for line in self._lines:
            logging.getLogger(OUR_LOGGER).info(line)
        self._lines.clear()


def without_code(record: logging.LogRecord) -> bool:
    """Strip from a record whatever may hold code; keep the record."""
    if not record.name.startswith("fimble"):
        record.msg = str(record.msg).partition("\n")[0]  # asyncio quotes exceptions below that
        record.args = None
    if record.exc_info and record.exc_info[0] is not None:
        kind, _, frames = record.exc_info
        places = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(frames)]
        record.msg = "\n".join((record.getMessage(), kind.__name__, *places))
        record.args = None
    record.exc_info = record.exc_text = None
    return True
