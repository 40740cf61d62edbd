"""The parse stage's side of the pipe: one child at a time, replaced when it dies."""

from __future__ import annotations

import multiprocessing
from threading import Lock
from typing import TYPE_CHECKING

from training.corpus.faults import MAX_ERROR_SHARE
from training.corpus.parse_child import serve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess


class Parser:
    """Verdicts on texts, from a child process with a CPU limit per text.

    Threads take turns: an engine may run several tasks in threads of one process.
    """

    def __init__(self, limit_s: float, max_error_share: Mapping[str, float] | None = None) -> None:
        """Make a parser; its child starts with the first text.

        Args:
            limit_s: CPU seconds for one text.
            max_error_share: By language, in place of `MAX_ERROR_SHARE`'s.
        """
        self._limit_s = limit_s
        self._limits = {**MAX_ERROR_SHARE, **(max_error_share or {})}
        self._turn = Lock()
        self._child: BaseProcess | None = None
        self._pipe: Connection | None = None

    def verdict(self, language: str, text: str) -> tuple[str, str | None]:
        """Return the language a text turns out to be, and the reason to drop it or None."""
        with self._turn:
            pipe = self._pipe or self._start()
            try:
                pipe.send((language, text))
                return pipe.recv()
            except (EOFError, BrokenPipeError, ConnectionResetError):
                self.close()
                return language, "parse_died"  # out of time, out of memory, or a crash in a grammar

    def close(self) -> None:
        """End the child."""
        if self._pipe is not None:
            self._pipe.close()
        if self._child is not None:
            self._child.join(timeout=1)
            self._child.kill()
            self._child.join()
        self._child = self._pipe = None

    def _start(self) -> Connection:
        # Spawned, not forked: a fork would hold the other end of the pipe open itself.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._child = context.Process(
            target=serve, args=(theirs, self._limit_s, self._limits), daemon=True
        )
        self._child.start()
        theirs.close()
        return self._pipe
