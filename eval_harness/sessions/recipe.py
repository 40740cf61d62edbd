"""What is decided before simulated people sit down."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from eval_harness.sessions.person import Pace
from fimble.config import check_positive
from fimble.errors import ConfigError
from fimble.settings import TelemetryLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsRecipe:
    """Who types what, and what with; the keys of `fimble eval sessions`."""

    corpus: Path
    """Of `fimble corpus build`; its held-out files are what is typed."""
    model: str = ""
    """Model folder, or name of a shipped model; empty means the default. Arms of experiments may
    set another."""
    experiments: Path | None = None
    """Folder of registered experiments that the sessions take part in."""
    users: int = 4
    """People; each has a session and a pseudonym of their own."""
    at_once: int = 4
    """Sessions at a time."""
    visits: int = 10
    """Most files that each person opens and types in, one after the other, none of them twice."""
    languages: tuple[str, ...] = ()
    """Our names of the languages; empty means all."""
    level: TelemetryLevel = TelemetryLevel.KEYS
    """What is recorded: experiments need `keys`; pairs for tuning need `content`, and half a minute
    more for each person, since what became of a suggestion is looked at after so long."""
    seed: int = 0
    pace: Pace = field(default_factory=Pace)
    """How fast they are."""

    def __post_init__(self) -> None:
        check_positive(self, ("users", "at_once", "visits"))
        pace = self.pace
        if not 0 < pace.fastest_key_ms <= pace.slowest_key_ms or pace.reading_ms < 0:
            raise ConfigError(
                f"pace is {pace.fastest_key_ms:g} to {pace.slowest_key_ms:g} ms a key and "
                f"{pace.reading_ms:g} ms of reading; the first two must be above 0 and in order, "
                "the third 0 or more"
            )
