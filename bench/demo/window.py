"""The editor's window around a place of a file: what is written and suggested there, drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.demo.screen import CONTEXT_LINES, Screen, Span, View
from eval_harness.sessions.places import Place, without

if TYPE_CHECKING:
    from eval_harness.sessions.person import Ghost


class Window:
    """Shows the person's place; a watcher of `Typist`."""

    def __init__(self, screen: Screen, text: str, place: Place) -> None:
        """Show a place of a file whose whole text is `text`."""
        self._screen = screen
        lines = without(text, place).split("\n")
        head = lines[place.line][: place.column]
        above = lines[max(0, place.line - CONTEXT_LINES) : place.line]
        below = lines[place.line + 1 : place.line + 1 + CONTEXT_LINES]
        self._view = View(above, [Span(head)], "", below, "")

    def wrote(self, text: str, *, is_taken: bool) -> None:
        """Put it into the file."""
        self._view = self._view._replace(written=[*self._view.written, Span(text, is_taken)])

    def saw(self, ghost: Ghost, status: str | None) -> None:
        """Draw it behind the cursor."""
        new = self._view.status if status is None else status
        self._view = self._view._replace(ghost=ghost.text, status=new)
        self._screen.draw(self._view)

    def judged(self, verdict: str) -> None:
        """Say it, where nothing can be drawn."""
        self._screen.judged(self._view, verdict)

    def leave(self) -> None:
        """Draw the file without a cursor."""
        self._screen.draw(self._view._replace(ghost="", is_done=True))
