"""Code that a user lets be recorded for training: the allow-list of the store of content.

    content_served ── what a prompt was made of and what was suggested
    content_later ── what stands at that place at each of `LATER_S`

This store is apart from the events: another folder, another lifetime, never sent anywhere. Only
`level = "content"` in the user's own `fimble.toml` opens it; an editor or a workspace cannot. What
looks like a secret is not written. Records live for `telemetry.content_days`, and all of them go
when the level is lowered, or with `fimble telemetry forget`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

from fimble.fim import Snippet
from fimble.secrets import holds_secret
from fimble.spool import CLOSED_SUFFIX

if TYPE_CHECKING:
    from pathlib import Path

    from fimble.events import Envelope

CONTENT_VERSION = 2
READABLE_CONTENT = (1, 2)
FIRST_WITH_SNIPPETS = 2
"""Records of older versions have neither `path` nor `snippets`."""
LATER_S = (30, 600)
PREFIX_CHARS = 4000
SUFFIX_CHARS = 2000
LATER_CHARS = 4000
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentServed:
    """A suggestion, with the code around it; LF line ends."""

    kind: ClassVar[str] = "content_served"
    completion_id: str
    language: str
    model_digest: str
    prefix: str
    suffix: str
    completion: str
    path: str = ""
    """Of the file within its project, as the prompt named it; empty where it did not."""
    snippets: tuple[Snippet, ...] = ()
    """Code of other files in the prompt, the most important last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentLater:
    """What stands where a suggestion was: accepted, edited, or written instead."""

    kind: ClassVar[str] = "content_later"
    completion_id: str
    after_s: int
    text: str


Content = ContentServed | ContentLater


def to_content_record(
    content: Content, envelope: Envelope, *, days: int
) -> dict[str, object] | None:
    """Return the flat JSON object of a record; None where it looks like a secret.

    Args:
        content: The record.
        envelope: As of events.
        days: The record's lifetime.
    """
    values = {field.name: getattr(content, field.name) for field in fields(content)}
    snippets = content.snippets if isinstance(content, ContentServed) else ()
    texts = [value for value in values.values() if isinstance(value, str)]
    if any(map(holds_secret, [*texts, *(s.path for s in snippets), *(s.text for s in snippets)])):
        return None
    if isinstance(content, ContentServed):
        values["snippets"] = [{"path": each.path, "text": each.text} for each in snippets]
    return {
        "v": CONTENT_VERSION,
        "ev": content.kind,
        "session_id": envelope.session_id,
        "ts_wall_ms": envelope.ts_wall_ms,
        "expires_ms": envelope.ts_wall_ms + days * _DAY_MS,
        **values,
    }


def delete_expired(folder: Path, *, now_ms: int, days: int) -> int:
    """Delete the segments whose records have all expired, and return how many.

    Args:
        folder: The store; need not exist.
        now_ms: The time.
        days: The lifetime; 0 deletes every closed segment.
    """
    expired = [
        path
        for path in folder.glob(f"*{CLOSED_SUFFIX}*")
        if not days or path.stat().st_mtime * 1000 < now_ms - days * _DAY_MS
    ]
    for path in expired:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    return len(expired)
