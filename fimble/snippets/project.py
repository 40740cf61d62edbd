"""The files of a project, and which of their code helps at a place in one of them.

What comes into a prompt, while the budget lasts:

1. declarations of the files that the place's own file imports: first those that are named near the
   place, then those that the import names, then what else is public;
2. lines of other files that were edited lately, if a word of theirs stands near the place that only
   some of the files have;
3. windows of lines that resemble what stands around the place (`fimble.snippets.similar`);
4. declarations named near the place, of the file's test or of what it tests, and of its folder.

The first kind stands last in the prompt, nearest to the place. A selection depends on the texts and
the place alone, not on the order in which files came. Files of other languages are left out, and so
is the place's own: its text is in the window around the cursor.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from fimble.context import SNIPPET_BYTES
from fimble.fim import Snippet
from fimble.snippets.choice import DeclarationChoice, Source, Standing
from fimble.snippets.imports import imports_of
from fimble.snippets.outline import outline
from fimble.snippets.places import Places, family, key_of, source_stem, tests_of
from fimble.snippets.similar import BLOCK_LINES, SimilarText, Window
from fimble.snippets.words import encoded, words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from fimble.snippets.around import Around
    from fimble.snippets.outline import Declaration

MAX_FILE_BYTES = 100_000
"""A longer file is data or generated, and is not taken in."""
DECLARATION_SHARE = 0.4
"""Share of the budget that declarations may take before windows are looked for."""
EDITED_SHARE = 0.4
"""Share of the budget that lines that were edited lately may take."""
_BESIDE_EDIT_LINES = 2
"""Lines before and behind them that come along."""
_NEAR_BEFORE_CHARS = 1500
_NEAR_AFTER_CHARS = 500
_HEAD_CHARS = 8000
"""Imports further down than this are not read."""
_MAX_IMPORTED_FILES = 16
_MAX_SIBLINGS = 8
_MAX_WINDOWS = 6
_IMPORT_STARTS = ("import ", "from ", "#include", "use ", "using ", "package ", "require")
"""Lines of a window that are mostly these say nothing that imports do not say anyway."""
_MIN_WINDOW_BYTES = 120
"""Room for less is left empty."""


class SnippetSource(StrEnum):
    """What code of a project is chosen for; lines edited lately come with `Around.edited`."""

    IMPORTS = "imports"
    """Declarations of imported files."""
    SIMILAR = "similar"
    """Windows of lines that resemble the place."""
    BESIDE = "beside"
    """Declarations of files beside the place's own."""


class _File(NamedTuple):
    text: str
    language: str


class Selection(NamedTuple):
    """Code of other files, in the order in which it stands in a prompt."""

    beside: list[Snippet]
    """Declarations of files that stand beside the place's own."""
    similar: list[Snippet]
    """Windows that resemble the place."""
    edited: list[Snippet]
    """Lines that were edited lately."""
    imported: list[Snippet]
    """Declarations of files that the place's own imports."""


class ProjectIndex:
    """The files of one project; taking one in costs a pass over its text."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._places = Places()
        self._similar = SimilarText()
        self._outlines: dict[str, list[Declaration]] = {}

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def put(self, path: str, text: str, language: str) -> None:
        """Take in a file, or its new text; one that is too long is dropped.

        Args:
            path: Within the project, with slashes.
            text: LF only.
            language: Our name of its language.
        """
        known = self._files.get(path)
        if known == (text, language):
            return
        data = encoded(text)
        if known is not None:
            self.drop(path)
        if len(data) > MAX_FILE_BYTES:
            return
        self._files[path] = _File(text, language)
        self._places.put(path, language)
        self._similar.put(path, data)

    def drop(self, path: str) -> None:
        """Forget a file, if it is known."""
        if self._files.pop(path, None) is None:
            return
        self._places.drop(path)
        self._similar.drop(path)
        self._outlines.pop(path, None)

    def outline_of(self, path: str) -> list[Declaration]:
        """Return what a file declares; kept from then on, for it costs a parse."""
        if path not in self._outlines:
            file = self._files[path]
            self._outlines[path] = outline(file.text, file.language)
        return self._outlines[path]

    def imported(self, around: Around) -> list[Source]:
        """Return the files that a file imports, in order, with what it takes from each."""
        head = around.prefix[:_HEAD_CHARS]
        head += around.suffix[: _HEAD_CHARS - len(head)]
        found: dict[str, Source] = {}
        for each in imports_of(head, around.language):
            standing = Standing.FOLDER if each.is_folder else Standing.IMPORTED
            for path in self._places.resolve(each, path=around.path, language=around.language):
                known = found.get(path, Source(path, frozenset(), standing))
                names = known.names | set(each.names)
                found[path] = Source(path, names, max(known.standing, standing))
                if len(found) >= _MAX_IMPORTED_FILES:
                    return list(found.values())
        return list(found.values())

    def select(self, around: Around, budget_bytes: int = SNIPPET_BYTES) -> list[Snippet]:
        """Return code of other files for a place, the most important last.

        Args:
            around: The place.
            budget_bytes: Size of all snippets with their paths, as UTF-8.
        """
        return [snippet for kind in self.selection(around, budget_bytes) for snippet in kind]

    def selection(
        self,
        around: Around,
        budget_bytes: int = SNIPPET_BYTES,
        sources: Collection[SnippetSource] = frozenset(SnippetSource),
    ) -> Selection:
        """Return what `select` does, by what it was chosen for.

        Args:
            around: The place.
            budget_bytes: Size of all snippets with their paths, as UTF-8.
            sources: What to choose from; what the others would have taken is free for these.
        """
        near_text = around.prefix[-_NEAR_BEFORE_CHARS:] + around.suffix[:_NEAR_AFTER_CHARS]
        near = words(encoded(near_text))
        telling = self._similar.rare(near)
        imported = self.imported(around) if SnippetSource.IMPORTS in sources else []
        declared = DeclarationChoice(telling, self.outline_of)
        declared.take(imported, int(budget_bytes * DECLARATION_SHARE))
        edited = self._edited(around, telling, int(budget_bytes * EDITED_SHARE))
        rest = budget_bytes - sum(snippet.size_bytes for _, snippet in edited)
        places = [window for window, _ in edited]
        windows: list[Snippet] = []
        if SnippetSource.SIMILAR in sources:
            windows += self._windows(around, near, rest - declared.size_bytes, but=places)
        rest -= sum(each.size_bytes for each in windows)
        if not windows:
            declared.take(imported, rest)
        beside = DeclarationChoice(telling, self.outline_of)
        latest = [snippet for _, snippet in reversed(edited)]
        taken = {each.path for each in (*imported, *windows, *latest)}
        if SnippetSource.BESIDE in sources:
            others = [each for each in self._beside(around) if each.path not in taken]
            beside.take(others, rest - declared.size_bytes)
        return Selection(beside.snippets(), windows[::-1], latest, declared.snippets())

    def _edited(
        self, around: Around, telling: set[int], budget_bytes: int
    ) -> list[tuple[Window, Snippet]]:
        """Return what was edited lately and has to do with a place, the latest first."""
        languages = family(around.language)
        found: list[tuple[Window, Snippet]] = []
        for path, start, end in reversed(around.edited):
            file = self._files.get(path)
            if file is None or path == around.path or file.language not in languages:
                continue
            first = max(0, start - _BESIDE_EDIT_LINES)
            lines = file.text.split("\n")[first : end + _BESIDE_EDIT_LINES]
            snippet = _fitting(path, lines, budget_bytes)
            if snippet is not None and words(encoded(snippet.text)) & telling:
                budget_bytes -= snippet.size_bytes
                found.append((Window(0.0, path, first, first + len(lines)), snippet))
        return found

    def _windows(
        self, around: Around, near: set[int], budget_bytes: int, *, but: Sequence[Window]
    ) -> Iterator[Snippet]:
        """Yield windows that resemble the text near a place, the best first; none of `but`."""
        if budget_bytes < _MIN_WINDOW_BYTES:
            return
        languages = family(around.language)

        def is_wanted(path: str) -> bool:
            return path != around.path and self._files[path].language in languages

        chosen: dict[str, list[Window]] = {}
        for found in self._similar.search(near, is_wanted=is_wanted, limit=_MAX_WINDOWS):
            chosen.setdefault(found.path, []).append(found)
        seen: set[str] = set()
        for window in _apart(_merged(chosen), but):
            lines = self._files[window.path].text.split("\n")[window.start_line : window.end_line]
            if 2 * sum(map(_is_import, lines)) > len(lines):
                continue
            snippet = _fitting(window.path, lines, budget_bytes)
            if snippet is not None and snippet.text not in seen:  # files are copied, too
                seen.add(snippet.text)
                budget_bytes -= snippet.size_bytes
                yield snippet
            if budget_bytes < _MIN_WINDOW_BYTES:
                return

    def _beside(self, around: Around) -> list[Source]:
        """Return the files that stand beside a file: its tests or what it tests, and its folder."""
        stem, languages = key_of(around.path)[-1], family(around.language)
        source = source_stem(stem)
        stems = tests_of(stem) if source is None else (source,)
        found: dict[str, Source] = {}
        for each in stems:
            for path in self._places.same_stem(each, languages):
                if path != around.path:
                    found[path] = Source(path, frozenset(), Standing.IMPORTED)
        for path in self._places.in_folder(around.path, languages):
            found.setdefault(path, Source(path, frozenset(), Standing.FOLDER))
        return list(found.values())[:_MAX_SIBLINGS]


def _is_import(line: str) -> bool:
    return line.startswith(_IMPORT_STARTS)


def _merged(chosen: dict[str, list[Window]]) -> list[Window]:
    """Return windows without overlaps: two that overlap are one, as good as the better of them."""
    merged: list[Window] = []
    for windows in chosen.values():
        last: Window | None = None
        for window in sorted(windows, key=lambda each: each.start_line):
            if last is not None and window.start_line <= last.end_line:
                end = max(last.end_line, window.end_line)
                last = last._replace(end_line=end, score=max(last.score, window.score))
                merged[-1] = last
            else:
                last = window
                merged.append(window)
    return sorted(merged, key=lambda each: (-each.score, each.path, each.start_line))


def _apart(windows: list[Window], taken: Sequence[Window]) -> list[Window]:
    """Return the windows that share no line with what is taken already."""
    return [each for each in windows if not any(map(each.overlaps, taken))]


def _fitting(path: str, lines: list[str], budget_bytes: int) -> Snippet | None:
    """Return whole lines of a window as a snippet: all, or as many blocks as fit."""
    while lines:
        text = "\n".join(lines).strip("\n")
        snippet = Snippet(path=path, text=f"{text}\n")
        if text.strip() and snippet.size_bytes <= budget_bytes:
            return snippet
        lines = lines[: (len(lines) - 1) // BLOCK_LINES * BLOCK_LINES]
    return None
