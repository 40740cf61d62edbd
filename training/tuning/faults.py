"""What is wrong with a text that a model wrote, where the project's own text is known."""

from __future__ import annotations

import builtins
import keyword
import re
from typing import TYPE_CHECKING

from tree_sitter import Parser

from fimble.languages import by_name, grammar
from fimble.preferences import Why
from fimble.soundness import Soundness
from fimble.stops import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from training.tuning.record import Example

_WORD = re.compile(r"[^\W\d]\w*")
_KNOWN = frozenset({*dir(builtins), *keyword.kwlist, *keyword.softkwlist, "self", "cls"})
_BINDERS = frozenset(
    {
        *("as_pattern_target", "default_parameter", "lambda_parameters", "parameters"),
        *("typed_parameter", "dotted_name", "aliased_import", "global_statement"),
    }
)


class Judge:
    """Judges texts for one place; the code around it is parsed once."""

    def __init__(self, example: Example) -> None:
        self._example = example
        language = by_name(example.language)
        self._soundness = Soundness(Site.at(example.prefix, example.suffix, language))
        self._is_truth_sound = not self._soundness.breaks(example.middle)

    def judge(self, text: str, *, has_ended: bool) -> Why:
        """Return what is wrong with a text, the plainest fault first, or that nothing is.

        Args:
            text: What the model wrote, without its end token.
            has_ended: It ended by itself, not because it was long enough.
        """
        truth = self._example.middle
        if text.rstrip() == truth.rstrip():
            return Why.SAME
        if truth.strip() and text.startswith(truth.rstrip()):
            return Why.OVERRUN
        if has_ended and truth.startswith(text.rstrip()):
            return Why.STOPPED_EARLY
        if self._is_truth_sound and self._soundness.breaks(text):
            return Why.PARSE_BREAK
        if self._example.language == "python" and any(self._undefined(text)):
            return Why.UNDEFINED_NAME
        return Why.DIFFERS

    def _undefined(self, text: str) -> Iterator[str]:
        """Yield names that a Python text reads and that stand nowhere around it.

        A name that stands anywhere in the prompt, in whatever role, is taken for defined.
        """
        example = self._example
        around = (example.prefix, example.suffix, example.middle)
        code = " ".join((*around, *(snippet.text for snippet in example.snippets)))
        known = _KNOWN | set(_WORD.findall(code))
        # What stands before the cursor on its line says which of the words are names.
        head = example.prefix[example.prefix.rfind("\n") + 1 :].lstrip()
        names = [name for name in _names(head + text) if name[0] not in known]
        bound = {name for name, is_bound in names if is_bound}
        yield from (name for name, is_bound in names if not is_bound and name not in bound)


def _names(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the names of a piece of Python, and whether they are bound there."""
    waiting: list[tuple[Node, bool]] = [
        (Parser(grammar("python")).parse(text.encode("utf-8", "surrogatepass")).root_node, False)
    ]
    while waiting:
        node, is_bound = waiting.pop()
        if node.type in {"string", "comment"}:
            continue
        if node.type == "identifier":
            name = (node.text or b"").decode("utf-8", "replace")
            yield name, is_bound or _is_target(node)
        below = is_bound or node.type in _BINDERS
        waiting += [(child, below) for child in node.named_children if not _is_member(node, child)]


def _is_member(node: Node, child: Node) -> bool:
    """Return whether a child is a name of somebody else's: `a.child`, `f(child=1)`."""
    field = {"attribute": "attribute", "keyword_argument": "name"}.get(node.type)
    return field is not None and node.child_by_field_name(field) == child


def _is_target(node: Node) -> bool:
    """Return whether a name is assigned to, looped over or defined."""
    parent = node.parent
    while parent is not None and parent.type in {"pattern_list", "tuple_pattern", "list_pattern"}:
        node, parent = parent, parent.parent
    if parent is None:
        return False
    names = ("left", "name") if parent.type != "keyword_argument" else ()
    is_left = any(parent.child_by_field_name(name) == node for name in names)
    kinds = {"assignment", "for_statement", "for_in_clause", "named_expression"}
    return is_left and parent.type in {*kinds, "function_definition", "class_definition"}
