"""What a file imports, read from its text by patterns: no parse, no execution, unfinished code too.

An import is a path of names, from the file's own folder or from anywhere; `fimble.snippets.places`
finds the files that fit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fimble.languages import by_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_IMPORTS = 64
"""More imports than these say little about any of them."""


class Import(NamedTuple):
    """One thing that a file says it uses."""

    parts: tuple[str, ...]
    """Names of folders and of the module, outermost first; without suffixes."""
    up: int | None = None
    """Folders above the file's own where `parts` start: 0 is its own; None is anywhere."""
    names: tuple[str, ...] = ()
    """What is taken from the module, where that is said."""
    is_folder: bool = False
    """All files of a folder are meant."""
    suffix: str = ""
    """Of the file's name, with the dot, where it is said; empty is any."""


_OWN_FOLDER = Import((), up=0, is_folder=True)
_PYTHON = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<dots>\.*)(?P<module>[\w.]*)[ \t]+import[ \t]*"
    r"(?:\((?P<many>[^()]*)\)?|(?P<few>[^\n]*))|import[ \t]+(?P<plain>[^\n#]+))",
    re.MULTILINE,
)
_SCRIPT = re.compile(
    r"""(?:\bimport\b(?P<names>[^;"'()]*?)(?:\bfrom\b)?\s*|\bexport\b[^;"'()]*?\bfrom\s*"""
    r"""|\b(?:require|import)\s*\(\s*)["'](?P<module>[^"'\n]+)["']"""
)
_DOTTED = re.compile(
    r"^[ \t]*(?:import|using)[ \t]+(?:static[ \t]+)?(?P<module>[\w.]+)(?P<rest>[^\n;]*)",
    re.MULTILINE,
)
_GO = re.compile(
    r'^[ \t]*(?:import[ \t]+)?(?:[\w.]+[ \t]+)?"(?P<module>[\w./~-]+)"[ \t]*(?://.*)?$',
    re.MULTILINE,
)
_GO_BLOCK = re.compile(r"^import[ \t]*(?:\((?P<many>[^)]*)\)?|(?P<one>[^\n(]+)$)", re.MULTILINE)
_RUST = re.compile(
    r"^[ \t]*(?:pub(?:\([\w ]+\))?[ \t]+)?"
    r"(?:use[ \t]+(?P<use>[^;]+);|mod[ \t]+(?P<mod>\w+)[ \t]*;)",
    re.MULTILINE,
)
_INCLUDE = re.compile(
    r'^[ \t]*#[ \t]*include[ \t]*(?:"(?P<own>[^"\n]+)"|<(?P<any>[^>\n]+)>)', re.MULTILINE
)
_PHP = re.compile(
    r"^[ \t]*use[ \t]+(?:function[ \t]+|const[ \t]+)?\\?(?P<module>[\w\\]+)", re.MULTILINE
)
_RUBY = re.compile(
    r"""^[ \t]*require(?P<relative>_relative)?[ \t(]+["'](?P<module>[^"'\n]+)["']""", re.MULTILINE
)
_LUA = re.compile(r"""\brequire[ \t(]*["'](?P<module>[\w./-]+)["']""")
_SHELL = re.compile(r"""^[ \t]*(?:source|\.)[ \t]+["']?(?P<module>[^"'\s;]+)""", re.MULTILINE)
_NAME = re.compile(r"\w+")


def imports_of(text: str, language: str) -> list[Import]:
    """Return what a text imports, in order and each once, at most `MAX_IMPORTS`.

    Args:
        text: Source code, LF only; may be unfinished.
        language: Our name of its language; one we cannot read has no imports.
    """
    read = _READERS.get(language)
    if read is None:
        return []
    found: dict[Import, None] = {}
    for each in read(text):
        if each.parts or each.up is not None:
            found[each] = None
        if len(found) >= MAX_IMPORTS:
            break
    return list(found)


def _python(text: str) -> Iterator[Import]:
    for match in _PYTHON.finditer(text):
        if match["plain"]:
            for module in match["plain"].split(","):
                yield Import(_split(module.split(" as ")[0].strip(), "."))
            continue
        dots, module = match["dots"], _split(match["module"], ".")
        said = re.sub(r"#[^\n]*", "", match["many"] or match["few"] or "")
        names = tuple(
            name
            for each in said.split(",")
            if (name := each.split(" as ")[0].strip()).isidentifier()
        )
        up = len(dots) - 1 if dots else None
        yield Import(module, up=up, names=names)
        # A name may be a module itself: `from package import module`.
        for name in names:
            yield Import((*module, name), up=up)


def _script(text: str) -> Iterator[Import]:
    for match in _SCRIPT.finditer(text):
        names = tuple(
            name
            for name in _NAME.findall(match["names"] or "")
            if name not in {"type", "as", "from", "default"}
        )
        module = match["module"]
        if not module.startswith("."):
            module = module.removeprefix("@/").removeprefix("~/")
            yield Import(_split(_without_suffix(module), "/"), names=names)
            continue
        up, parts = _relative(module)
        yield Import(tuple([*parts[:-1], _without_suffix(parts[-1])] if parts else ()), up, names)


def _dotted(text: str) -> Iterator[Import]:
    """Java, Kotlin, Scala: a class, a member of it, or a whole package; and the file's own one."""
    for match in _DOTTED.finditer(text):
        parts, rest = _split(match["module"], "."), match["rest"].strip()
        if rest.startswith(("*", ".*", "_", "._")) or match["module"].endswith("."):
            names = tuple(_NAME.findall(rest)) if "{" in rest else ()
            yield Import(parts, names=names, is_folder=True)
        else:
            yield Import(parts, names=parts[-1:])
        if "{" in rest:
            for name in _NAME.findall(rest):
                yield Import((*parts, name), names=(name,))
    yield _OWN_FOLDER


def _csharp(text: str) -> Iterator[Import]:
    for match in _DOTTED.finditer(text):
        yield Import(_split(match["module"], "."), is_folder=True)
    yield _OWN_FOLDER


def _go(text: str) -> Iterator[Import]:
    for block in _GO_BLOCK.finditer(text):
        for match in _GO.finditer(block["many"] or block["one"] or ""):
            yield Import(_split(match["module"], "/"), is_folder=True)
    yield _OWN_FOLDER


def _rust(text: str) -> Iterator[Import]:
    for match in _RUST.finditer(text):
        if match["mod"]:
            yield Import((match["mod"],), up=0)
            continue
        for path in _rust_paths(match["use"]):
            yield _rust_import(path)


def _rust_paths(use: str) -> Iterator[tuple[str, ...]]:
    """Yield the paths of a `use`, with one level of braces written out."""
    head, brace, inner = re.sub(r"\s+", " ", use).partition("{")
    start = tuple(_NAME.findall(head.split(" as ")[0]))
    if not brace:
        yield start
        return
    for each in inner.replace("}", "").split(","):
        path = tuple(_NAME.findall(each.replace("{", "::").split(" as ")[0]))
        yield start if path == ("self",) else (*start, *path)


def _rust_import(path: tuple[str, ...]) -> Import:
    num_super = path.count("super")
    parts = tuple(part for part in path if part not in {"crate", "self", "super"})
    # The parent of a module is its folder; so is what a file that is a folder's own calls `self`.
    up = max(0, num_super - 1) if num_super or path[:1] == ("self",) else None
    return Import(parts, up=up, names=parts[-1:])


def _include(text: str) -> Iterator[Import]:
    for match in _INCLUDE.finditer(text):
        up, parts = _relative(match["own"] or match["any"])
        if not parts:
            continue
        stem, dot, suffix = parts[-1].rpartition(".")
        named = (*parts[:-1], stem) if dot else tuple(parts)
        if match["own"]:
            yield Import(named, up=up, suffix=dot + suffix)
        yield Import(named, suffix=dot + suffix)


def _php(text: str) -> Iterator[Import]:
    for match in _PHP.finditer(text):
        parts = _split(match["module"], "\\")
        yield Import(parts, names=parts[-1:])


def _ruby(text: str) -> Iterator[Import]:
    for match in _RUBY.finditer(text):
        up, parts = _relative(match["module"].removesuffix(".rb"))
        yield Import(tuple(parts), up=up if match["relative"] else None)


def _lua(text: str) -> Iterator[Import]:
    for match in _LUA.finditer(text):
        yield Import(_split(match["module"].replace("/", "."), "."))


def _shell(text: str) -> Iterator[Import]:
    for match in _SHELL.finditer(text):
        path = re.sub(r"^.*\$[^/]*/", "", match["module"])
        up, parts = _relative(path)
        if parts:
            yield Import((*parts[:-1], _without_suffix(parts[-1])), up=up)


def _relative(path: str) -> tuple[int, list[str]]:
    """Return how many folders a path goes up at first, and its parts behind that."""
    up = 0
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
            else:
                up += 1
        elif part not in {"", "."}:
            parts.append(part)
    return up, parts


def _split(path: str, separator: str) -> tuple[str, ...]:
    return tuple(part for part in path.split(separator) if part)


def _without_suffix(name: str) -> str:
    return name.rpartition(".")[0] if "." in name and by_path(name) else name


_READERS: dict[str, Callable[[str], Iterator[Import]]] = {
    "python": _python,
    "javascript": _script,
    "typescript": _script,
    "tsx": _script,
    "java": _dotted,
    "kotlin": _dotted,
    "scala": _dotted,
    "csharp": _csharp,
    "go": _go,
    "rust": _rust,
    "c": _include,
    "cpp": _include,
    "php": _php,
    "ruby": _ruby,
    "lua": _lua,
    "bash": _shell,
}
