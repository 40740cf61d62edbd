"""The rules in a session: read at its start, looked at again every few seconds, obeyed at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fimble.errors import FimbleError
from fimble.identity import user_name
from fimble.manifest import load_manifest
from fimble.paths import model_dir
from fimble.rollout import choose
from fimble.settings import BackendKind
from lsp_server.rollouts.rules_file import path_of, read_rules, stamp

if TYPE_CHECKING:
    from fimble.clock import Clock
    from fimble.experiments import Assignment
    from fimble.rollout import Chosen
    from fimble.settings import Settings
    from lsp_server.rollouts.rules_file import Read


class Following:
    """What the rules say of the user of a session.

    Args:
        settings: Those of `fimble.toml`; without `[rollout] keys` nothing is read, ever.
        clock: Tells when rules expire.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._stamp: tuple[object, ...] = ()
        self._read: Read | None = None
        self._chosen: Chosen | None = None
        self._trouble = ""
        self._told = ""

    @property
    def is_on(self) -> bool:
        """Whether there may be rules."""
        return bool(self._settings.rollout.keys)

    @property
    def check_every_s(self) -> int:
        """How often to look."""
        return self._settings.rollout.check_every_s

    @property
    def assignment(self) -> Assignment | None:
        """What events say; None where no rules are in force."""
        return self._chosen.assignment() if self._chosen else None

    def applied(self, settings: Settings) -> Settings:
        """Return `settings` with the rule of the user put over them."""
        return self._chosen.applied(settings) if self._chosen else settings

    def explain(self) -> dict[str, object]:
        """Return what decided, for the user who asks."""
        if self._chosen is None:
            return {"rule": "", "trouble": self._trouble}
        return {
            "name": self._chosen.rollout.name,
            "version": self._chosen.rollout.rules_version,
            "rule": self.assignment.arm if self.assignment else "",
            "trouble": self._trouble,
        }

    def pop_trouble(self) -> str:
        """Return what the user should know, once; empty where there is nothing new."""
        if self._trouble == self._told:
            return ""
        self._told = self._trouble
        return self._trouble

    def look(self) -> bool:
        """Read the rules if they may have changed, and return whether the choice is another one.

        Blocks: reads files, and imports what verifies signatures.
        """
        if not self.is_on:
            return False
        found = stamp(path_of(self._settings.rollout))
        if self._read is None or found != self._stamp:
            self._stamp = found
            self._read = read_rules(self._settings.rollout)
        former = self._chosen
        self._chosen, self._trouble = self._choose(self._read)
        return self._chosen != former

    def _choose(self, read: Read) -> tuple[Chosen | None, str]:
        """Return what the rules say, and what is wrong with them."""
        if read.rollout is None or read.is_halted:
            return None, read.trouble
        if read.rollout.is_expired(self._clock.wall_ms()):
            about = f"version {read.rollout.rules_version} expired on {read.rollout.expires}"
            return None, read.trouble or f"{about}; what fimble.toml says counts"
        telemetry = self._settings.telemetry
        chosen = choose(read.rollout, user=user_name(telemetry.user), team=telemetry.team)
        try:
            self._check(chosen)
        except (FimbleError, OSError) as error:
            rule = chosen.rule.name if chosen.rule else ""
            return None, f"the rule {rule}: {error}; what fimble.toml says counts"
        return chosen, read.trouble

    def _check(self, chosen: Chosen) -> None:
        """Refuse a choice that cannot answer here: a model may not have arrived yet."""
        engine = chosen.applied(self._settings).engine
        if chosen.rule and chosen.rule.model and engine.kind is BackendKind.EMBEDDED:
            load_manifest(model_dir(engine.model), verify=False)
