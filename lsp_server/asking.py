"""What an editor asks, and what it says about itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fimble.events import Trigger
from fimble.text import Position, PositionEncoding
from lsp_server.offers import Selected


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request for completions."""

    uri: str
    position: Position
    trigger: Trigger
    selected: Selected | None = None
    from_word: bool = False
    """Items start at the word before the cursor, not at the line's first character."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What the editor said about itself."""

    name: str
    version: str
    encoding: PositionEncoding
    folders: Sequence[str] = ()
    """URIs of the workspace folders."""

    @property
    def inserts_as_it_is(self) -> bool:
        """Whether the editor would write a CR into the text: Neovim's lines have no line ends."""
        return self.name == "Neovim"
