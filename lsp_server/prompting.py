"""From a place in a document to the prompt that is sent for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from fimble.begun import begun_before
from fimble.engine import Query
from fimble.languages import by_lsp_id, by_path
from fimble.stops import Site
from lsp_server.cache import AFTER_CHARS, BEFORE_CHARS, MAX_TYPED_CHARS, Around

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fimble.context import Window, WindowBudget
    from fimble.fim import FimFormat, Snippet
    from fimble.languages import Language
    from lsp_server.documents import Document, Place

_MAX_KNOWN = 256
"""Documents whose paths are remembered: they are asked for several times at every key."""
SITE_CHARS = 8192
"""Text on each side of the cursor that decides where a completion ends."""


class Others(NamedTuple):
    """Code of other files that a prompt may hold."""

    snippets: tuple[Snippet, ...]
    """The most important last."""
    is_forced: bool
    """Whether the user wants them in prompts whatever the model was trained with."""


NO_OTHERS = Others((), is_forced=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """What a completion is for."""

    prefix: str
    """Text before the cursor that a prompt may hold, LF only."""
    suffix: str
    """Text behind the cursor that a prompt may hold, LF only."""
    path: str
    """Path of the file within its project, with slashes."""
    site: Site
    others: Others = NO_OTHERS
    """Code of other files."""


def spot_at(
    document: Document,
    place: Place,
    *,
    path: str,
    budget: WindowBudget,
    others: Others = NO_OTHERS,
) -> Spot:
    """Return what a completion at `place` needs to know."""
    language = language_of(document)
    site = Site.at(document.tail(place, SITE_CHARS), document.after(place, SITE_CHARS), language)
    return Spot(
        prefix=document.before(place, min_chars=budget.prefix_bytes, step_lines=budget.step_lines),
        suffix=document.after(place, budget.suffix_bytes + 1),
        path=path,
        site=site,
        others=others,
    )


def around(document: Document, place: Place) -> Around:
    """Return the text around `place` by which earlier answers are found again."""
    return Around(
        document.tail(place, BEFORE_CHARS + MAX_TYPED_CHARS), document.after(place, AFTER_CHARS)
    )


def query_for(
    spot: Spot,
    around: Window,
    fim_format: FimFormat,
    max_new_tokens: int,
    *,
    snippets: Sequence[Snippet] = (),
    takes_beginning: bool = False,
) -> Query:
    """Return the query for a spot, in the order that the model family serves.

    An engine that `takes_beginning` is asked from the start of the word or the signs that the
    cursor stands in or behind, or from the end of the line before: the prompt stays the same while
    they are written.
    """
    begun = begun_before(around.prefix) if takes_beginning else ""
    parts = fim_format.prompt(
        prefix=around.prefix.removesuffix(begun),
        suffix=around.suffix,
        path=spot.path,
        snippets=snippets,
    )
    return Query(parts=parts, beginning=begun, max_new_tokens=max_new_tokens)


def language_of(document: Document) -> Language | None:
    """Return a document's language: what the editor calls it, else by the name of its file."""
    return by_lsp_id(document.language_id) or by_path(path_of(document.uri))


@lru_cache(_MAX_KNOWN)
def path_of(uri: str) -> str:
    """Return the path in a URI, decoded, with slashes."""
    return unquote(urlsplit(uri).path)


def project_path(uri: str, folders: Sequence[str]) -> str:
    """Return a document's path relative to the innermost workspace folder, else its file name.

    Args:
        uri: The document's URI.
        folders: URIs of the workspace folders.
    """
    return _project_path(uri, tuple(folders))


@lru_cache(_MAX_KNOWN)
def _project_path(uri: str, folders: tuple[str, ...]) -> str:
    path = PurePosixPath(path_of(uri))
    roots = [PurePosixPath(path_of(folder)) for folder in folders]
    inside = [root for root in roots if path.is_relative_to(root) and root.name]
    if not inside:
        return path.name
    return str(path.relative_to(max(inside, key=lambda root: len(root.parts))))
