r"""The fill-in-the-middle prompt: the only place that knows its layout.

A prompt is a tuple of parts: plain text, and marks. A mark becomes one special token; text never
does, whatever it spells. Engines that take token ids or segments are safe by construction; for
engines that take only a string, `FimFormat.render` refuses text that spells a sentinel.

Layouts are those of llama.cpp's `/infill` (tools/server, `format_prompt_infill`):

    context  <|repo_name|>repository\n  (<|file_sep|>path\nsnippet)*  <|file_sep|>path\n
    PSM      context <|fim_prefix|>prefix <|fim_suffix|>suffix <|fim_middle|>
    SPM      context <|fim_suffix|>suffix <|fim_prefix|>prefix <|fim_middle|>

Training and serving share them. We serve SPM: typing only appends to the prefix, so everything
before it stays valid in the engine's key-value cache.

Source: Bavarian et al. 2022, arXiv:2207.14255, section 3 (PSM, SPM).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from fimble.errors import SentinelInTextError

if TYPE_CHECKING:
    from collections.abc import Sequence


class FimOrder(StrEnum):
    """Which of prefix and suffix comes first."""

    PSM = "psm"
    SPM = "spm"


class Mark(Enum):
    """A place in the prompt that a special token marks; the value is its name in a `FimFormat`."""

    END = "end"
    PREFIX = "prefix"
    MIDDLE = "middle"
    SUFFIX = "suffix"
    PAD = "pad"
    REPOSITORY = "repository"
    FILE = "file"


Part = Mark | str
"""A mark, or text that is never read as a mark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """Code of another file that goes in front of the prompt."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FimFormat:
    """The sentinels of one model family; stored in the manifest by name.

    An empty string means that the family has no such sentinel: the mark is left out.
    """

    name: str
    prefix: str
    suffix: str
    middle: str
    end: str
    pad: str = ""
    repository: str = ""
    file: str = ""
    orders: tuple[FimOrder, ...] = (FimOrder.PSM, FimOrder.SPM)
    """Orders the family was trained on; the first is the one to serve."""

    def sentinel(self, mark: Mark) -> str:
        """Return the text of the special token for `mark`; empty if the family has none."""
        return str(getattr(self, mark.value))

    def sentinels(self) -> tuple[str, ...]:
        """Return every sentinel of the family, stripped of the layout's blanks."""
        return tuple(text for mark in Mark if (text := self.sentinel(mark).strip()))

    def sentinel_in(self, text: str) -> str | None:
        """Return a sentinel that `text` spells, or None."""
        return next((sentinel for sentinel in self.sentinels() if sentinel in text), None)

    def render(self, parts: Sequence[Part]) -> str:
        """Return the prompt as one string, for engines that take nothing else.

        Raises:
            SentinelInTextError: The text spells a sentinel, which the engine would obey.
        """
        prompt = "".join(self.sentinel(p) if isinstance(p, Mark) else p for p in parts)
        for mark in Mark:
            sentinel = self.sentinel(mark).strip()
            if sentinel and prompt.count(sentinel) != parts.count(mark):
                raise SentinelInTextError(
                    f"the text holds the sentinel {sentinel!r} of the FIM format {self.name!r}; "
                    "an engine that takes only text would obey it, so nothing is sent"
                )
        return prompt


FIMBLE = FimFormat(
    name="fimble",
    prefix="<|fim_prefix|>",
    suffix="<|fim_suffix|>",
    middle="<|fim_middle|>",
    end="<|endoftext|>",
    pad="<|fim_pad|>",
    repository="<|repo_name|>",
    file="<|file_sep|>",
    orders=(FimOrder.SPM, FimOrder.PSM),
)
"""Our own models. Qwen2.5-Coder uses the same sentinels, in PSM order."""

FORMATS: dict[str, FimFormat] = {
    f.name: f
    for f in (
        FIMBLE,
        FimFormat(
            name="qwen",
            prefix=FIMBLE.prefix,
            suffix=FIMBLE.suffix,
            middle=FIMBLE.middle,
            end=FIMBLE.end,
            pad=FIMBLE.pad,
            repository=FIMBLE.repository,
            file=FIMBLE.file,
            orders=(FimOrder.PSM,),
        ),
        FimFormat(
            name="starcoder",
            prefix="<fim_prefix>",
            suffix="<fim_suffix>",
            middle="<fim_middle>",
            end="<|endoftext|>",
            pad="<fim_pad>",
            orders=(FimOrder.PSM, FimOrder.SPM),
        ),
        FimFormat(
            name="deepseek",
            prefix="<｜fim▁begin｜>",
            suffix="<｜fim▁hole｜>",
            middle="<｜fim▁end｜>",
            end="<｜end▁of▁sentence｜>",
            orders=(FimOrder.PSM,),
        ),
        FimFormat(
            name="codellama",
            prefix="<PRE> ",
            suffix=" <SUF>",
            middle=" <MID>",
            end="<EOT>",
            orders=(FimOrder.PSM,),
        ),
    )
}
"""Formats a configuration may name, for models that are not ours."""

SPECIAL_TOKENS: tuple[str, ...] = (
    *(FIMBLE.sentinel(mark) for mark in Mark),
    "<|im_start|>",
    "<|im_end|>",
    *(f"<|reserved_{index}|>" for index in range(55)),
)
"""Special tokens of our vocabulary; a token's id is its place here. Never reorder."""


def infill_prompt(
    *,
    prefix: str,
    suffix: str,
    order: FimOrder,
    path: str = "",
    repository: str = "",
    snippets: Sequence[Snippet] = (),
) -> tuple[Part, ...]:
    """Return the prompt that ends where the model starts to write the middle.

    Args:
        prefix: Text before the cursor, with LF line ends.
        suffix: Text behind the cursor, with LF line ends.
        order: Which of the two comes first.
        path: The file's path within its project, with slashes; empty leaves it out.
        repository: The project's name; empty leaves it out.
        snippets: Code of other files, the most important last.
    """
    before = (Mark.PREFIX, prefix)
    behind = (Mark.SUFFIX, suffix)
    window = (*before, *behind) if order is FimOrder.PSM else (*behind, *before)
    header = document_header(path=path, repository=repository, snippets=snippets)
    return (*header, *window, Mark.MIDDLE)


def document_header(
    *, path: str = "", repository: str = "", snippets: Sequence[Snippet] = ()
) -> tuple[Part, ...]:
    """Return what stands before a document: project, snippets of other files, its own path."""
    parts: list[Part] = []
    if repository:
        parts += [Mark.REPOSITORY, f"{repository}\n"]
    for snippet in snippets:
        parts += [Mark.FILE, f"{snippet.path}\n{snippet.text}"]
    if path:
        parts += [Mark.FILE, f"{path}\n"]
    return tuple(parts)
