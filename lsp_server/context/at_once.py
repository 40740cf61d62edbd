"""Code of other files for one completion outside an editor: a project is read when it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fimble.settings import ContextUse
from lsp_server.context.source import around_place
from lsp_server.prompting import Others

if TYPE_CHECKING:
    from pathlib import Path

    from fimble.settings import ContextSettings
    from lsp_server.documents import Document, Place


def project_of(path: Path) -> Path | None:
    """Return the project that a file belongs to: the nearest folder above it with a `.git`."""
    return next((folder for folder in path.parents if (folder / ".git").exists()), None)


def takes_others(settings: ContextSettings, *, is_trained: bool) -> bool:
    """Return whether prompts hold code of other files.

    Args:
        settings: Of the user.
        is_trained: Whether the model was trained with such prompts.
    """
    is_wanted = settings.enabled is ContextUse.ON or (
        settings.enabled is ContextUse.AUTO and is_trained
    )
    return is_wanted and settings.budget_bytes > 0


def read_others(root: Path, document: Document, place: Place, settings: ContextSettings) -> Others:
    """Read a project, and return its code for a place. Blocks.

    Args:
        root: The project's folder.
        document: A file of it.
        place: Where the cursor is.
        settings: How much is read, and how much is taken.
    """
    from lsp_server.context.worker import Folder  # brings the parser along

    folder = Folder(root)
    for _ in folder.scan(settings.max_files):
        pass
    chosen = folder.choose(around_place(document, place, [root.as_uri()]), settings.budget_bytes)
    return Others(tuple(chosen), is_forced=settings.enabled is ContextUse.ON)
