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

from dataclasses import dataclass, replace
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

    @property
    def size_bytes(self) -> int:
        """How much of a budget it takes: its path and text as UTF-8."""
        return len(f"{self.path}\n{self.text}".encode("utf-8", "surrogatepass"))


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
    others: tuple[str, ...] = ()
    """Special tokens that end a completion as well, next to every sentinel."""
    has_path_in_prefix: bool = False
    """A file's path is the first line behind the prefix sentinel, not a line in front of it."""

    def sentinel(self, mark: Mark) -> str:
        """Return the text of the special token for `mark`; empty if the family has none."""
        return str(getattr(self, mark.value))

    def sentinels(self) -> tuple[str, ...]:
        """Return every sentinel of the family, stripped of the layout's blanks."""
        return tuple(text for mark in Mark if (text := self.sentinel(mark).strip()))

    @property
    def ends(self) -> tuple[str, ...]:
        """Texts of special tokens behind which nothing belongs to a completion."""
        return (*self.sentinels(), *self.others)

    def sentinel_in(self, text: str) -> str | None:
        """Return a sentinel that `text` spells, or None."""
        return next((sentinel for sentinel in self.sentinels() if sentinel in text), None)

    def prompt(
        self,
        *,
        prefix: str,
        suffix: str,
        path: str = "",
        repository: str = "",
        snippets: Sequence[Snippet] = (),
    ) -> tuple[Part, ...]:
        """Return the prompt to serve: `infill_prompt` in the family's first order.

        A family without a mark for files gets neither path nor snippets: they would be read as
        code.
        """
        if not self.file:
            path, snippets = "", ()
        if not self.repository:
            repository = ""
        order = self.orders[0]
        if not (path and self.has_path_in_prefix):
            return infill_prompt(
                prefix=prefix,
                suffix=suffix,
                order=order,
                path=path,
                repository=repository,
                snippets=snippets,
            )
        header = document_header(repository=repository, snippets=snippets)
        window = infill_prompt(prefix=f"{path}\n{prefix}", suffix=suffix, order=order)
        return (*header, Mark.FILE, *window)

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

_PSM = (FimOrder.PSM,)
_BIGCODE = FimFormat(
    name="starcoder",
    prefix="<fim_prefix>",
    suffix="<fim_suffix>",
    middle="<fim_middle>",
    end="<|endoftext|>",
    pad="<fim_pad>",
    orders=_PSM,
    others=("<filename>", "<reponame>"),
)
"""StarCoder, StarCoderBase, and Granite Code and Granite 3, which took over its vocabulary.

Their other order is `<fim_prefix><fim_suffix>suffix<fim_middle>prefix`, which is not our SPM.
"""

FORMATS: dict[str, FimFormat] = {
    f.name: f
    for f in (
        FIMBLE,
        replace(FIMBLE, name="qwen", orders=_PSM, others=("<|im_start|>", "<|im_end|>")),
        _BIGCODE,
        replace(
            _BIGCODE,
            name="starcoder2",
            repository="<repo_name>",
            file="<file_sep>",
            others=(),
            has_path_in_prefix=True,
        ),
        FimFormat(
            name="santacoder",
            prefix="<fim-prefix>",
            suffix="<fim-suffix>",
            middle="<fim-middle>",
            end="<|endoftext|>",
            pad="<fim-pad>",
            orders=_PSM,
        ),
        FimFormat(
            name="deepseek",
            prefix="<｜fim▁begin｜>",
            suffix="<｜fim▁hole｜>",
            middle="<｜fim▁end｜>",
            end="<｜end▁of▁sentence｜>",
            orders=_PSM,
        ),
        FimFormat(
            name="codellama",
            prefix="<PRE> ",
            suffix=" <SUF>",
            middle=" <MID>",
            end="<EOT>",
            orders=_PSM,
        ),
        FimFormat(
            name="codestral",
            prefix="[PREFIX]",
            suffix="[SUFFIX]",
            middle="",
            end="</s>",
            orders=(FimOrder.SPM,),
            others=("[MIDDLE]",),
        ),
        FimFormat(
            name="codegemma",
            prefix="<|fim_prefix|>",
            suffix="<|fim_suffix|>",
            middle="<|fim_middle|>",
            end="<|file_separator|>",
            orders=_PSM,
            others=("<eos>", "<end_of_turn>"),
        ),
        FimFormat(
            name="granite",
            prefix="<|fim_prefix|>",
            suffix="<|fim_suffix|>",
            middle="<|fim_middle|>",
            end="<|end_of_text|>",
            pad="<|fim_pad|>",
            orders=_PSM,
            others=("<|filename|>", "<|reponame|>", "<|start_of_role|>"),
        ),
        FimFormat(
            name="mellum",
            prefix="<fim_prefix>",
            suffix="<fim_suffix>",
            middle="<fim_middle>",
            end="<|endoftext|>",
            pad="<fim_pad>",
            file="<filename>",
            orders=(FimOrder.SPM,),
            others=("<reponame>",),
        ),
    )
}
"""Formats a configuration may name, for models that are not ours.

Sources, each the publisher's own:

- Qwen2.5-Coder: README, sections 3 and 4
- StarCoder: model card; arXiv:2305.06161, section 5.1
- StarCoder2: arXiv:2402.19173, section 5.1; bigcode-project/starcoder2#10 (`<file_sep>` ends)
- SantaCoder, DeepSeek-Coder, Granite 4: model cards, sections on infilling
- Code Llama: README, section on infilling
- Codestral: mistral-common, `encode_fim`; there is no middle token
- CodeGemma: ai.google.dev/gemma/docs/codegemma/prompt-structure
- Mellum: model card; arXiv:2510.05788
"""

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
