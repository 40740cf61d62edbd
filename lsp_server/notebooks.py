"""Notebooks: the code cells of one, in their order, are one text to a model.

Each cell is a document of its own to the editor, and requests name a cell. What stands in the cells
above and below is what the cell's code refers to.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from lsp_server.documents import Document, Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lsp_server.documents import Documents


class Cell(NamedTuple):
    """One cell."""

    uri: str
    is_code: bool


class Notebooks:
    """The open notebooks of a session; the texts of their cells are among its documents."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._cells: dict[str, list[Cell]] = {}
        self._notebook_of: dict[str, str] = {}

    def __contains__(self, uri: str) -> bool:
        """Return whether a document is a cell."""
        return uri in self._notebook_of

    def opened(self, uri: str, cells: Sequence[Cell]) -> None:
        """The editor has opened a notebook."""
        self.closed(uri)
        self._cells[uri] = []
        self.rearranged(uri, (0, 0), cells)

    def rearranged(self, uri: str, gone: tuple[int, int], cells: Sequence[Cell]) -> None:
        """Cells came, went, or moved.

        Args:
            uri: The notebook's.
            gone: The first cell that goes, and how many go.
            cells: What comes in their place.
        """
        known = self._cells.get(uri)
        if known is None:
            return
        start, count = max(0, gone[0]), max(0, gone[1])
        for cell in known[start : start + count]:
            self._notebook_of.pop(cell.uri, None)
        known[start : start + count] = cells
        self._notebook_of.update({cell.uri: uri for cell in known})

    def recast(self, uri: str, cells: Sequence[Cell]) -> None:
        """Cells became code, or text."""
        changed = {cell.uri: cell for cell in cells}
        known = self._cells.get(uri, [])
        known[:] = [changed.get(cell.uri, cell) for cell in known]

    def closed(self, uri: str) -> None:
        """The editor has closed a notebook."""
        for cell in self._cells.pop(uri, []):
            self._notebook_of.pop(cell.uri, None)

    def whole(self, document: Document, place: Place) -> tuple[Document, Place]:
        """Return the text that a document is part of, and the place in it.

        Of a cell, that is the code of its notebook in the same language; any other document is
        returned as it is.
        """
        cells = self._cells.get(self._notebook_of.get(document.uri, ""), [])
        if Cell(document.uri, is_code=True) not in cells:
            return document, place
        lines: list[str] = []
        line = place.line
        for cell in cells:
            known = document if cell.uri == document.uri else self._documents.get(cell.uri)
            if known is None or not cell.is_code or known.language_id != document.language_id:
                continue
            if lines:
                lines[-1] += "\n"
            if known is document:
                line += len(lines)
            lines += known.lines
        return replace(document, lines=lines), Place(line, place.column)
