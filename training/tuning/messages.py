"""The same examples as conversations, for a model that was tuned to talk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.tuning.record import REPLAY, Task

if TYPE_CHECKING:
    from training.tuning.record import Example

HERE = "<HERE>"
"""Where code is missing."""
_ASKS = {
    Task.DOCSTRING_BODY: "Write the body of this function as its documentation says.",
    Task.SIGNATURE_BODY: "Write the body of this function.",
    Task.TEST_BODY: "Write the body of this function so that the test passes.",
    Task.COMMENT_BLOCK: "Write the code that the comment above it announces.",
    Task.CALL_ARGUMENTS: "Write the arguments of this call.",
    Task.RELEASE_EDIT: "The file is being changed from top to bottom. Write the next change.",
}


def conversation(example: Example) -> dict[str, object] | None:
    """Return the record that trl's `SFTTrainer` reads as a conversation.

    None for replayed text, and where the code spells the mark of the place.
    """
    code = (example.prefix, example.suffix, *(s.text for s in example.snippets))
    if example.task in REPLAY or any(HERE in text for text in code):
        return None
    others = "".join(
        f"`{snippet.path}`:\n```\n{snippet.text.rstrip()}\n```\n" for snippet in example.snippets
    )
    question = (
        f"{_ASKS[example.task]} Answer with nothing but the code that belongs at {HERE}.\n"
        f"{others}`{example.path}`:\n"
        f"```{example.language}\n{example.prefix}{HERE}{example.suffix.rstrip()}\n```"
    )
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": example.middle},
        ],
        "task": example.task.value,
        "language": example.language,
        "project": example.project,
    }
