"""The editor's window: a few lines of the file, redrawn in place; plain lines where none can be."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import TextIO

    from bench.demo.sources import SourceFile

CONTEXT_LINES = 3
"""Lines shown above and below what is typed."""
_GHOST, _TAKEN, _CURSOR, _FAINT, _BOLD, _END = (
    f"\x1b[{code}m" for code in ("90", "32", "7", "2", "1", "0")
)
_TAB_COLUMNS = 4


class Span(NamedTuple):
    """Text and how it came into the file."""

    text: str
    is_taken: bool = False
    """Accepted from a suggestion, not typed."""


class View(NamedTuple):
    """All that the window shows."""

    above: list[str]
    written: list[Span]
    """From the start of the first line that is written, to the cursor."""
    ghost: str
    below: list[str]
    status: str
    is_done: bool = False
    """Whether the cursor has left."""


class Screen:
    """Draws views one over the other on a terminal, and says what matters elsewhere."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        can_draw = os.environ.get("TERM") not in {None, "dumb"} and "NO_COLOR" not in os.environ
        self.is_terminal = out.isatty() and can_draw
        self._num_drawn = 0

    def title(self, source: SourceFile, line: int) -> None:
        """Say which file is typed in."""
        self.leave()
        text = f"{source.project} {source.version}  {source.path.name}:{line + 1}"
        about = f"{source.language.name}, {source.licence}"
        bold, faint, end = (_BOLD, _FAINT, _END) if self.is_terminal else ("", "", "")
        self.say(f"\n{bold}{text}{end}  {faint}{about}{end}")

    def say(self, text: str = "") -> None:
        """Print lines that stay."""
        self.leave()
        self._out.write(f"{text}\n")
        self._out.flush()

    def judged(self, view: View, verdict: str) -> None:
        """Where nothing can be redrawn, print a suggestion that was looked at, and the verdict."""
        if self.is_terminal:
            return
        head = "".join(span.text for span in view.written).rpartition("\n")[2]
        first, *more = view.ghost.split("\n")
        lines = f" (+{len(more)} lines)" if more else ""
        self._out.write(f"    {head.expandtabs(_TAB_COLUMNS)}│{first}{lines}   [{verdict}]\n")
        self._out.flush()

    def draw(self, view: View) -> None:
        """Show a view in place of the one before."""
        if not self.is_terminal:
            return
        size = shutil.get_terminal_size()
        rows = self._rows(view, size.columns - 2)[-(size.lines - 2) :]
        up = f"\x1b[{self._num_drawn}F" if self._num_drawn else "\x1b[?25l"
        body = "".join(f"{row}\x1b[K\n" for row in rows)
        self._out.write(f"{up}{body}\x1b[J")
        self._out.flush()
        self._num_drawn = len(rows)

    def leave(self) -> None:
        """Keep what is drawn, and go on below it."""
        if self._num_drawn:
            self._out.write("\x1b[?25h")
            self._num_drawn = 0

    def _rows(self, view: View, width: int) -> list[str]:
        """Return the lines of a view, cut to the width, with their colours."""
        cells = [
            (char, _TAKEN if span.is_taken else "") for span in view.written for char in span.text
        ]
        if not view.is_done:
            ghost = f" {view.ghost}" if view.ghost[:1] in {"", "\n"} else view.ghost
            cells += [(ghost[0], _CURSOR + _GHOST), *((char, _GHOST) for char in ghost[1:])]
        above = [line.expandtabs(_TAB_COLUMNS)[:width] for line in view.above]
        below = [line.expandtabs(_TAB_COLUMNS)[:width] for line in view.below]
        status = [] if view.is_done else [f"{_FAINT}{view.status[:width]}{_END}"]
        return [*above, *_painted(cells, width), *below, *status]


def _painted(cells: list[tuple[str, str]], width: int) -> list[str]:
    """Return lines of characters that each have a style."""
    rows: list[str] = []
    row, column, style = "", 0, ""
    for char, wanted in cells:
        if char == "\n":
            rows.append(row + (_END if style else ""))
            row, column, style = "", 0, ""
            continue
        text = " " * (_TAB_COLUMNS - column % _TAB_COLUMNS) if char == "\t" else char
        column += len(text)
        if column > width:
            continue
        if wanted != style:
            row += (_END if style else "") + wanted
            style = wanted
        row += text
    return [*rows, row + (_END if style else "")]
