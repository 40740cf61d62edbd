"""Code of other files for the prompts of one editor session.

A selection is made by the worker and stays as it is while the cursor is in one region of a file, so
that prompts start alike and the engine's cache of keys and values stays valid. A request never
waits for one: until it is there, prompts hold what was chosen before, or nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fimble.settings import ContextUse
from fimble.snippets.around import Around, Edited, region
from lsp_server.context.recent import RecentEdits
from lsp_server.documents import Place
from lsp_server.prompting import NO_OTHERS, Others, language_of, path_of, project_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fimble.clock import Clock
    from fimble.fim import Snippet
    from fimble.settings import ContextSettings
    from lsp_server.context.worker import OpenText, Worker
    from lsp_server.documents import Document, Documents, Edit

_START = Place(0, 0)
_SUFFIX_CHARS = 8192
_DRIVE = re.compile(r"/[A-Za-z]:")
_IMPORT_LINE = re.compile(r"\s*(?:import|from|use|using|require|include|#\s*include|mod)\b")


class _Chosen(NamedTuple):
    """The selection for a region of a document."""

    region: int
    snippets: tuple[Snippet, ...]
    num_files: int
    """Files that were known then."""
    is_final: bool
    """Whether these were all there are."""


class ContextSource:
    """The code of other files that prompts of a session may hold."""

    def __init__(
        self,
        settings: ContextSettings,
        documents: Documents,
        folders: Sequence[str],
        *,
        clock: Clock,
    ) -> None:
        """Begin with nothing; `start` starts the worker.

        Args:
            settings: Of the user.
            documents: Those that are open.
            folders: URIs of the workspace folders; the list may change.
            clock: Paces the worker.
        """
        self._settings = settings
        self._documents = documents
        self._folders = folders
        self._clock = clock
        self._worker: Worker | None = None
        self._watched: tuple[Path, ...] = ()
        self._chosen: dict[str, _Chosen] = {}
        self._asked: dict[str, int] = {}
        self._stale: set[str] = set()
        self._unsent: dict[str, None] = {}
        self._recent = RecentEdits()

    def start(self, *, is_trained: bool) -> None:
        """Begin to read the workspace, if prompts may hold code of it.

        Args:
            is_trained: Whether the model was trained with such prompts.
        """
        use = self._settings.enabled
        if self._worker is not None or use is ContextUse.OFF or not self._settings.budget_bytes:
            return
        if use is ContextUse.AUTO and not is_trained:
            return
        from lsp_server.context.worker import Worker  # brings the parser along

        self._worker = Worker(self._settings, self._clock)
        self._watch()
        self._worker.start()

    def opened(self, uri: str) -> None:
        """A document was opened: its text counts from now on, not what is on disk."""
        self._unsent[uri] = None

    def edited(self, document: Document, edit: Edit) -> None:
        """A document was changed."""
        self._unsent[document.uri] = None
        line = document.lines[min(edit.start.line, len(document.lines) - 1)]
        if _IMPORT_LINE.match(line) or any(map(_IMPORT_LINE.match, edit.new.split("\n"))):
            self._stale.add(document.uri)
        if self._recent.note(document.uri, edit):  # chosen for others before it was there
            self._stale |= self._chosen.keys() - {document.uri}

    def closed(self, uri: str) -> None:
        """A document was closed: nothing of it is kept that is not on disk."""
        for known in (self._chosen, self._asked, self._unsent):
            known.pop(uri, None)
        self._stale.discard(uri)
        root = self._root_of(uri)
        if self._worker is not None and root is not None:
            self._worker.closed(root, project_path(uri, self._folders))

    def prepare(self, document: Document, place: Place) -> None:
        """Have code chosen for a place, unless that is done or under way for its region."""
        if self._worker is None or (root := self._root_of(document.uri)) is None:
            return
        here, uri = region(place.line), document.uri
        if self._asked.get(uri) == here or (uri not in self._stale and self._is_known(uri, here)):
            return
        self._watch()
        self._asked[uri] = here
        self._stale.discard(uri)
        around = around_place(document, place, self._folders)
        around = around._replace(edited=self._edited_beside(uri, root))
        worker = self._worker

        def done(snippets: list[Snippet]) -> None:  # in the thread of the worker
            if self._asked.get(uri) == here:
                chosen = _Chosen(here, tuple(snippets), worker.num_files, worker.is_complete)
                self._chosen[uri] = chosen
                self._asked.pop(uri, None)

        self._worker.select(root, around, self._changed_others(uri, root), done)

    def snippets(self, uri: str) -> tuple[Snippet, ...]:
        """Return what was chosen for a document by now, the most important last."""
        chosen = self._chosen.get(uri)
        return chosen.snippets if chosen is not None else ()

    def others(self, uri: str) -> Others:
        """Return what was chosen for a document by now, for a prompt."""
        if self._worker is None:
            return NO_OTHERS
        is_forced = self._settings.enabled is ContextUse.ON
        return Others(self.snippets(uri), is_forced=is_forced)

    def explain(self, uri: str) -> dict[str, object]:
        """Return what the user may want to know about the code of other files in prompts."""
        if self._worker is None:
            return {"state": "off"}
        snippets = self.snippets(uri)
        return {
            "state": "complete" if self._worker.is_complete else "reading",
            "num_files": self._worker.num_files,
            "num_snippets": len(snippets),
            "snippet_bytes": sum(each.size_bytes for each in snippets),
            "paths": [snippet.path for snippet in snippets],
        }

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _is_known(self, uri: str, here: int) -> bool:
        """Return whether a choice holds: for the region, from most of the files that there are."""
        known = self._chosen.get(uri)
        if known is None or known.region != here or self._worker is None:
            return False
        if known.is_final:
            return True
        return not self._worker.is_complete and self._worker.num_files <= 2 * known.num_files

    def _watch(self) -> None:
        roots = tuple(map(_place_of, self._folders))
        if self._worker is not None and roots != self._watched:
            self._watched = roots
            self._worker.watch(roots)

    def _root_of(self, uri: str) -> Path | None:
        """Return the innermost workspace folder that a document lies in."""
        return _root_of(uri, tuple(self._folders))

    def _edited_beside(self, uri: str, root: Path) -> tuple[Edited, ...]:
        """Return what was edited lately in other documents of a folder."""
        return tuple(
            Edited(project_path(each.uri, self._folders), each.start_line, each.end_line)
            for each in self._recent.beside(uri)
            if self._root_of(each.uri) == root
        )

    def _changed_others(self, uri: str, root: Path) -> list[OpenText]:
        """Return the other open documents of a folder that the worker does not know as they are."""
        changed: list[OpenText] = []
        for other in [each for each in self._unsent if each != uri]:
            document = self._documents.get(other)
            if document is None or self._root_of(other) != root:
                continue
            del self._unsent[other]
            if (language := language_of(document)) is not None:
                path = project_path(other, self._folders)
                changed.append((path, document.text, language.name))
        return changed


def around_place(document: Document, place: Place, folders: Sequence[str]) -> Around:
    """Return what decides about code of other files: a place, and the text around it.

    Args:
        document: The file.
        place: Where the cursor is.
        folders: URIs of the workspace folders.
    """
    language = language_of(document)
    return Around(
        project_path(document.uri, folders),
        document.between(_START, place),
        document.after(place, _SUFFIX_CHARS),
        language.name if language else "",
    )


@lru_cache(256)
def _root_of(uri: str, folders: tuple[str, ...]) -> Path | None:
    path = _place_of(uri)
    inside = [root for f in folders if path.is_relative_to(root := _place_of(f)) and root.name]
    return max(inside, key=lambda root: len(root.parts), default=None)


def _place_of(uri: str) -> Path:
    """Return where a URI leads on this machine."""
    path = path_of(uri)
    return Path(path[1:] if _DRIVE.match(path) else path)
