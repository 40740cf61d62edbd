"""Commands in the documents: fenced `sh` blocks, and the notes in HTML comments before them.

    <!-- not run: needs a GPU -->       the block that follows is only read, not executed
    <!-- first: mkdir demo -->          executed before the block; for what a reader has already
    <!-- file: longer.toml -->          the block that follows is this file

A note stands in the lines right above its block. A block may have several of the second kind.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SHELL = frozenset({"sh", "bash"})
PROGRAMS = ("fimble", "python", "pip", "pipx", "make", "curl", "git", "torchrun", "docker")
"""A block that begins with one of these is a block of commands, whatever its fence says."""
_FENCE = re.compile(r"^(?P<fence>```+|~~~+)(?P<word>\w*)")
_NOTE = re.compile(r"<!-- (?P<kind>not run|first|file): (?P<text>.*?) -->")
_ASSIGNMENT = re.compile(r"^[A-Z_][A-Z0-9_]*=")
_ENDS = frozenset({";", "|", "&", "\n"})


class Block(NamedTuple):
    """One fenced block."""

    path: Path
    """From the root of the repository."""
    line: int
    """Of its first command, from 1."""
    word: str
    """What stands behind the fence."""
    text: str
    not_run: str
    """Why it is not executed; empty where it is."""
    first: tuple[str, ...]
    """Commands for what the reader is supposed to have."""
    files: tuple[str, ...] = ()
    """What the block is the content of."""

    @property
    def is_shell(self) -> bool:
        """Whether the fence says that these are commands."""
        return self.word in SHELL

    @property
    def looks_like_shell(self) -> bool:
        """Whether it begins with a program that the documents tell to run."""
        return bool(re.match(rf"\s*(?:[A-Z_]+=\S* )?(?:{'|'.join(PROGRAMS)})\b", self.text))


class Call(NamedTuple):
    """One program with its arguments, without assignments before and redirections behind."""

    program: str
    arguments: list[str]


def pages() -> list[Path]:
    """Return every document with commands for a reader, from the root of the repository."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    return sorted(path.relative_to(ROOT) for path in found)


def blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a document, and indented ones that look like commands.

    Args:
        path: From the root of the repository.
    """
    found: list[Block] = []
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    fence, word, start = "", "", 0
    for number, line in enumerate(lines):
        match = _FENCE.match(line.strip())
        if not fence and match:
            fence, word, start = match["fence"], match["word"], number
        elif fence and line.strip() == fence:
            text = "\n".join(lines[start + 1 : number])
            notes = _notes_above(lines, start)
            not_run = next((text for kind, text in notes if kind == "not run"), "")
            first = tuple(text for kind, text in notes if kind == "first")
            files = tuple(text for kind, text in notes if kind == "file")
            found.append(Block(path, start + 2, word, text, not_run, first, files))
            fence = ""
        elif not fence and line.startswith("    "):
            found.append(Block(path, number + 1, "", line.strip(), "", ()))
    return found


def mentions(path: Path) -> list[str]:
    """Return the commands of `fimble` that stand within the sentences of a document.

    Args:
        path: From the root of the repository.
    """
    text = (ROOT / path).read_text(encoding="utf-8")
    prose = re.sub(r"^(```+|~~~+).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`(fimble [^`\n]+)`", prose)


def _notes_above(lines: list[str], start: int) -> list[tuple[str, str]]:
    notes: list[tuple[str, str]] = []
    while start > 0 and (match := _NOTE.fullmatch(lines[start - 1].strip())):
        notes.insert(0, (match["kind"], match["text"]))
        start -= 1
    return notes


def commands(script: str) -> list[str]:
    """Split a script into simple commands: at ends of lines, `;`, `|` and `&` outside of quotes."""
    found: list[str] = []
    quote, command = "", ""
    position = 0
    script = script.replace("\\\n", " ")
    while position < len(script):
        char = script[position]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "#" and (not command or command[-1].isspace()):
            position = script.find("\n", position)
            position = len(script) if position < 0 else position
            continue
        elif char in _ENDS and not command.endswith(">"):
            found.append(command)
            command, char = "", ""
        command += char
        position += 1
    return [text.strip() for text in (*found, command) if text.strip()]


def call(command: str) -> Call | None:
    """Return program and arguments of a simple command; None where it only sets variables."""
    words = shlex.split(command)
    while words and _ASSIGNMENT.match(words[0]):
        words = words[1:]
    plain = [word for n, word in enumerate(words) if not _redirects(words, n)]
    return Call(plain[0], plain[1:]) if plain else None


def _redirects(words: list[str], number: int) -> bool:
    """Whether a word is a redirection, or the file of one."""
    bare = {">", ">>", "<", "2>"}
    is_one = words[number].startswith((">", "2>", "<"))
    return is_one or (number > 0 and words[number - 1] in bare)
