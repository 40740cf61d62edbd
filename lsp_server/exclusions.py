"""Documents without completions: by language, by name, by what their names say about secrets."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lsp_server.context.ignore import is_ignored, rules_in
from lsp_server.context.secret_files import is_secret
from lsp_server.decisions import Why
from lsp_server.prompting import path_of, project_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fimble.settings import CompletionSettings
    from lsp_server.context.ignore import Rule
    from lsp_server.documents import Document

IGNORE_FILE = ".fimbleignore"
"""In the root of a workspace; its lines are those of a `.gitignore`."""
_LONGEST_FILE_BYTES = 1_000_000
_MAX_KNOWN = 256


class Exclusions:
    """Says which documents get no completions."""

    def __init__(self, settings: CompletionSettings) -> None:
        self._settings = settings
        self._rules = list(rules_in("\n".join(settings.disabled_globs), ""))
        self._ignored: dict[str, list[Rule]] = {}
        """Rules of the ignore files, by the URI of their folder."""
        self._by_name: dict[tuple[str, ...], Why | None] = {}
        """What the names of documents say, by their URIs and the folders."""

    def under(self, settings: CompletionSettings) -> Exclusions:
        """Return the same with other settings; the ignore files count as they were read."""
        changed = Exclusions(settings)
        changed._ignored = self._ignored
        return changed

    def read(self, folders: Sequence[str]) -> None:
        """Read the ignore files of workspace folders, given as URIs. Blocks."""
        self._ignored = {folder: _rules_of(folder) for folder in folders}
        self._by_name = {}  # after the rules: who is just asked keeps to the former of both

    def why(self, document: Document, folders: Sequence[str]) -> Why | None:
        """Return why a document gets no completions; None where it gets some."""
        settings = self._settings
        if document.size_bytes > settings.max_document_bytes:
            return Why.TOO_LARGE
        if document.language_id in settings.disabled_languages:
            return Why.DISABLED
        by_name, key = self._by_name, (document.uri, *folders)
        if key not in by_name:
            if len(by_name) >= _MAX_KNOWN:
                by_name.clear()
            by_name[key] = self._why_by_name(document.uri, folders)
        return by_name[key]

    def _why_by_name(self, uri: str, folders: Sequence[str]) -> Why | None:
        settings = self._settings
        path = project_path(uri, folders)
        if not settings.in_secret_files and is_secret(path):
            return Why.SECRET
        if _is_below_ignored(path, self._rules):
            return Why.GLOB
        at = PurePosixPath(path_of(uri))  # cells of notebooks have a scheme of their own
        folder = next((f for f in self._ignored if at.is_relative_to(path_of(f))), "")
        rules = self._ignored.get(folder, [])
        return Why.IGNORED if _is_below_ignored(path, rules) else None


def _rules_of(folder: str) -> list[Rule]:
    """Return the rules of a folder's ignore file; none where it cannot be read."""
    if urlsplit(folder).scheme != "file":
        return []
    try:
        with (Path(path_of(folder)) / IGNORE_FILE).open(encoding="utf-8", errors="replace") as file:
            return list(rules_in(file.read(_LONGEST_FILE_BYTES), ""))
    except OSError:
        return []


def _is_below_ignored(path: str, rules: Sequence[Rule]) -> bool:
    """Return whether a path or one of its folders is left out."""
    parts = path.split("/")
    above = ("/".join(parts[:count]) for count in range(1, len(parts)))
    return any(is_ignored(each, rules, is_folder=True) for each in above) or is_ignored(
        path, rules, is_folder=False
    )
