"""Which files of a project an import means, by their paths alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fimble.snippets.imports import Import

MAX_FILES_OF_FOLDER = 12
"""Files that the import of a folder stands for, at most."""
_PACKAGE_STEMS = frozenset({"__init__", "index", "mod", "lib", "init", "main"})
"""Names of files that stand for their folder."""
_SOURCE_FOLDERS = frozenset({"src", "lib", "include", "inc", "app", "main", "source"})
_FAMILIES = (
    frozenset({"c", "cpp"}),
    frozenset({"javascript", "typescript", "tsx"}),
    frozenset({"java", "kotlin", "scala"}),
)
_LOOSE = frozenset({"php"})
"""Languages whose first names need be no folders: a package maps them to one."""
_MAX_DROPPED = 2
"""Names at the end of an import that may be no module, but something in it."""
Key = tuple[str, ...]


def family(language: str) -> frozenset[str]:
    """Return the languages whose files import one another."""
    return next((each for each in _FAMILIES if language in each), frozenset({language}))


def key_of(path: str) -> Key:
    """Return the parts of a path, without the suffix of its last."""
    *folders, name = path.split("/")
    stem = name.rpartition(".")[0] or name
    return (*folders, stem.removesuffix(".d"))  # `x.d.ts` declares what is in `x`


class Places:
    """The paths of some files."""

    def __init__(self) -> None:
        self._languages: dict[str, str] = {}
        self._by_last: dict[str, dict[str, Key]] = {}
        self._folders: dict[Key, dict[str, None]] = {}
        self._folders_by_last: dict[str, dict[Key, None]] = {}

    def put(self, path: str, language: str) -> None:
        """Take in a path; one that is known may have another language now."""
        self._languages[path] = language
        for key in _keys(path):
            self._by_last.setdefault(key[-1], {})[path] = key
        folder = key_of(path)[:-1]
        self._folders.setdefault(folder, {})[path] = None
        if folder:
            self._folders_by_last.setdefault(folder[-1], {})[folder] = None

    def drop(self, path: str) -> None:
        """Forget a path, if it is known."""
        if self._languages.pop(path, None) is None:
            return
        for key in _keys(path):
            self._by_last[key[-1]].pop(path, None)
        folder = key_of(path)[:-1]
        del self._folders[folder][path]
        if not self._folders[folder]:
            del self._folders[folder]
            if folder:
                del self._folders_by_last[folder[-1]][folder]

    def in_folder(self, path: str, languages: frozenset[str]) -> list[str]:
        """Return the other files in the folder of a path, in order."""
        files = self._folders.get(key_of(path)[:-1], {})
        return sorted(each for each in files if each != path and self._languages[each] in languages)

    def same_stem(self, stem: str, languages: frozenset[str]) -> list[str]:
        """Return the files of a name without suffix, in order."""
        found = self._by_last.get(stem, {})
        return sorted(path for path in found if self._languages[path] in languages)

    def resolve(self, imported: Import, *, path: str, language: str) -> list[str]:
        """Return the files that an import in the file `path` means, the likeliest first."""
        folder = key_of(path)[:-1]
        languages = family(language)
        if imported.is_folder:
            return self._files_of(imported, folder, path, languages)
        if imported.up is not None:
            return self._relative(imported, path, languages)
        for num_dropped in range(min(_MAX_DROPPED, len(imported.parts) - 1) + 1):
            parts = imported.parts[: len(imported.parts) - num_dropped]
            found = [
                (-_num_shared(key, folder), len(key), each)
                for each, key in self._by_last.get(parts[-1], {}).items()
                if each != path
                and each.endswith(imported.suffix)
                and self._languages[each] in languages
                and _fits(key, parts, folder, is_loose=language in _LOOSE)
            ]
            if found:
                return [min(found)[-1]]
        return []

    def _relative(self, imported: Import, path: str, languages: frozenset[str]) -> list[str]:
        own = key_of(path)
        base = own[: max(0, len(own) - 1 - (imported.up or 0))]
        # A Rust module `a` has its own modules in the folder `a`.
        for start in (base, (*base, own[-1])):
            for num_dropped in range(min(_MAX_DROPPED, max(0, len(imported.parts) - 1)) + 1):
                target = (*start, *imported.parts[: len(imported.parts) - num_dropped])
                found = self._by_last.get(target[-1], {}) if target else {}
                exact = sorted(
                    each
                    for each, key in found.items()
                    if key == target
                    and each != path
                    and each.endswith(imported.suffix)
                    and self._languages[each] in languages
                )
                if exact:
                    return exact[:1]
        return []

    def _files_of(
        self, imported: Import, own: Key, path: str, languages: frozenset[str]
    ) -> list[str]:
        parts = imported.parts
        if imported.up is not None:
            folders: Iterable[Key] = [own]
        else:
            named = self._folders_by_last.get(parts[-1], {})
            fitting = [each for each in named if _folder_fits(each, parts)]
            folders = sorted(fitting, key=lambda each: (-_num_shared(each, own), each))[:1]
        return [
            each
            for folder in folders
            for each in sorted(self._folders.get(folder, {}))
            if each != path and self._languages[each] in languages and not is_test(each)
        ][:MAX_FILES_OF_FOLDER]


def is_test(path: str) -> bool:
    """Return whether a path is that of a test, by its name."""
    return source_stem(key_of(path)[-1]) is not None


def source_stem(stem: str) -> str | None:
    """Return the name of the file that a test is of, or None if a name is that of no test."""
    for start in ("test_", "Test"):
        if stem.startswith(start) and len(stem) > len(start):
            return stem[len(start) :]
    for end in ("_test", "Test", "Tests", "_spec", "Spec", ".test", ".spec"):
        if stem.endswith(end) and len(stem) > len(end):
            return stem[: -len(end)]
    return None


def tests_of(stem: str) -> tuple[str, ...]:
    """Return the names that the tests of a file may have."""
    ends = ("_test", "Test", "Tests", "_spec", ".test", ".spec")
    return (f"test_{stem}", *(f"{stem}{end}" for end in ends))


def _keys(path: str) -> Iterator[Key]:
    key = key_of(path)
    if key[-1] in _PACKAGE_STEMS and len(key) > 1:
        yield key[:-1]
    yield key


def _fits(key: Key, parts: Key, folder: Key, *, is_loose: bool) -> bool:
    """Return whether the file of a key can be what `parts` says, in a file of `folder`."""
    if len(parts) >= 2:
        if is_loose and len(parts) >= 3 and key[-2:] == parts[-2:]:
            return True
        return key[-len(parts) :] == parts or (len(key) >= 2 and parts[-len(key) :] == key)
    above = key[:-1]
    if above and above[-1] in _SOURCE_FOLDERS and above != folder[: len(above)]:
        above = above[:-1]
    return key[-1:] == parts and above == folder[: len(above)]


def _folder_fits(folder: Key, parts: Key) -> bool:
    """Return whether a folder can be what the path of a package says.

    A package of the language's own library, such as Go's `errors`, has one part.
    """
    if len(parts) < 2:
        return False
    return (
        folder[-len(parts) :] == parts
        or parts[-len(folder) :] == folder
        or (len(folder) >= 2 and folder[-2:] == parts[-2:])
    )


def _num_shared(one: Key, other: Key) -> int:
    """Return how many parts two paths share at their start."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
