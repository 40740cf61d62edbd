"""What protects a build from huge or hostile input."""

from __future__ import annotations

from dataclasses import dataclass

from fimble.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`[limits]` of a recipe."""

    file_bytes: int = 1_000_000
    """Largest source file."""
    archive_bytes: int = 4_000_000_000
    """Largest unpacked size of one archive; beyond it the source is skipped."""
    archive_members: int = 300_000
    """Largest number of members of one archive; beyond it the source is skipped."""
    parse_s: float = 10.0
    """CPU seconds that one file may take to parse."""

    def __post_init__(self) -> None:
        for name in ("file_bytes", "archive_bytes", "archive_members", "parse_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"limits.{name} is {getattr(self, name)}; it must be above 0")
