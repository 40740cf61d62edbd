"""The configuration of a user: `fimble.toml`, and the same keys from the editor.

Every key has a default: without a file, the shipped model runs in the embedded engine, and
acceptance metrics are recorded on this machine only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, is_dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from fimble.config import from_table, read_toml
from fimble.context import SNIPPET_BYTES, WindowBudget
from fimble.errors import ConfigError
from fimble.fim import FORMATS
from fimble.paths import config_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from _typeshed import DataclassInstance

Section = TypeVar("Section", bound="DataclassInstance")
"""A settings class: the whole, or one table of it."""


class TelemetryLevel(StrEnum):
    """What editor sessions record."""

    OFF = "off"
    """Nothing; no file is created."""
    METRICS = "metrics"
    """What happens to completions, without a trace of who it was."""
    KEYS = "keys"
    """Also a pseudonym of the user, and the team."""
    CONTENT = "content"
    """Also the code around completions, in a store of its own, for training."""


class BackendKind(StrEnum):
    """What kind of engine answers prompts."""

    EMBEDDED = "embedded"
    """The one that comes with Fimble, on this machine."""
    TGI = "tgi"
    """A Text Generation Inference server."""
    OPENAI = "openai"
    """A server with OpenAI's `/v1/completions`: vLLM, llama.cpp, SGLang."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What answers prompts."""

    model: str = ""
    """Model folder, or name of a shipped model; empty means `FIMBLE_MODEL`, then the default."""
    backend: BackendKind = BackendKind.EMBEDDED
    url: str = ""
    """Base URL of the server, for the backends `tgi` and `openai`."""
    tgi_url: str = ""
    """Short for `backend = "tgi"` with this `url`."""
    served_model: str = ""
    """Name of the model on an `openai` server that has several; empty means its first."""
    token_variable: str = "FIMBLE_ENGINE_TOKEN"  # noqa: S105 - the name of a variable
    """Environment variable that holds the bearer token for the server."""
    ca_file: str = ""
    """Certificate authority of the server, PEM; empty means those of the system."""
    fim_format: str = "fimble"
    """Sentinels of the model behind `url`: a name in `fimble.fim.FORMATS`."""
    num_parallel: int = 4
    """Most generations at a time that a session asks of the server, 1 to 64."""
    failover: bool = True
    """Whether the embedded engine answers while the server does not."""
    failover_after_ms: int = 1500
    """A server that says nothing for so long does not answer, 100 to 60000 ms."""
    threads: int = 0
    """Threads of the embedded engine, 1 or more; 0 means half of the cores."""
    idle_exit_s: int = 900
    """The embedded engine ends after so many seconds without a request; 0 means never."""

    def __post_init__(self) -> None:
        if self.fim_format not in FORMATS:
            raise ConfigError(f"fim_format is {self.fim_format!r}; allowed: {', '.join(FORMATS)}")
        for key in ("url", "tgi_url"):
            url = str(getattr(self, key))
            if url and not _is_web_address(url):
                raise ConfigError(
                    f"{key} is {url!r}; it must start with http:// or https://, then a host"
                )
        if not 1 <= self.num_parallel <= 64:
            raise ConfigError(f"num_parallel is {self.num_parallel}; it must be 1 to 64")
        if not 100 <= self.failover_after_ms <= 60_000:
            raise ConfigError(
                f"failover_after_ms is {self.failover_after_ms}; it must be 100 to 60000"
            )
        if self.threads < 0 or self.idle_exit_s < 0:
            raise ConfigError("threads and idle_exit_s must be 0 or more")

    def check_server(self) -> None:
        """Compare the keys that name the server; file and editor may each have set some of them.

        Raises:
            ConfigError: They contradict each other.
        """
        is_embedded = self.backend is BackendKind.EMBEDDED
        if self.tgi_url and (self.url or not is_embedded):
            raise ConfigError(
                '[engine] tgi_url is short for backend = "tgi" with url; set one or the other'
            )
        if is_embedded and self.url:
            raise ConfigError(
                '[engine] url is set, and backend is "embedded"; a url needs "tgi" or "openai"'
            )
        if not (is_embedded or self.url):
            raise ConfigError(f'[engine] backend is "{self.backend.value}", which needs url')

    @property
    def kind(self) -> BackendKind:
        """What answers, `tgi_url` taken into account."""
        return BackendKind.TGI if self.tgi_url else self.backend

    @property
    def server_url(self) -> str:
        """Where the server is; empty for the embedded engine."""
        return self.tgi_url or self.url

    def embedded(self) -> EngineSettings:
        """Return these settings with the embedded engine in place of a server."""
        return replace(self, backend=BackendKind.EMBEDDED, url="", tgi_url="")

    def at_tgi(self, url: str) -> EngineSettings:
        """Return these settings with a TGI server in place of what they name."""
        return replace(self, backend=BackendKind.TGI, url=url, tgi_url="")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionSettings:
    """How completions are made and shown."""

    max_new_tokens: int = 64
    """Longest completion, 1 to 512 tokens."""
    debounce_ms: int = 50
    """Longest pause after a key before a new generation starts, 0 to 5000 ms; the pause is shorter
    where the engine answers before the next key."""
    lines_after_ms: int = 1000
    """A request that takes longer is answered with the lines that are complete, as soon as there is
    one, 0 to 60000 ms."""
    deadline_ms: int = 8000
    """A request is answered after so long, if with nothing, 50 to 60000 ms; 0 waits for the
    whole."""
    min_mean_logprob: float = -100.0
    """Of suggestions that nobody asked for, those whose tokens the model found less likely are
    withheld: mean natural logarithm of the tokens' probabilities; -100 withholds nothing."""
    show_filter: str = ""
    """File of a filter (`fimble telemetry filter train`) that hides suggestions nobody asked for
    and hardly anybody would accept; empty hides none."""
    num_candidates: int = 3
    """Suggestions on an explicit request, 1 to 8; all but the first are drawn at random."""
    after_deletion: bool = False
    """Ask the engine also where a key has just deleted a character or two."""
    shown_after_ms: int = 250
    """A suggestion that stayed the newest for so long counts as shown, 0 to 10000 ms."""
    max_document_bytes: int = 2_000_000
    """Larger documents get no completions; 0 or more."""
    disabled_languages: tuple[str, ...] = ()
    """LSP language identifiers without completions."""
    disabled_globs: tuple[str, ...] = ()
    """Files without completions, in the format of `.gitignore`, from the workspace's root."""
    in_secret_files: bool = False
    """Complete also in files whose names say that they may hold secrets, such as `.env`."""
    window: WindowBudget = field(default_factory=WindowBudget)

    def __post_init__(self) -> None:
        if not 1 <= self.max_new_tokens <= 512:
            raise ConfigError(f"max_new_tokens is {self.max_new_tokens}; it must be 1 to 512")
        if not 0 <= self.debounce_ms <= 5000:
            raise ConfigError(f"debounce_ms is {self.debounce_ms}; it must be 0 to 5000")
        if self.deadline_ms and not 50 <= self.deadline_ms <= 60_000:
            raise ConfigError(f"deadline_ms is {self.deadline_ms}; it must be 0, or 50 to 60000")
        if not 1 <= self.num_candidates <= 8:
            raise ConfigError(f"num_candidates is {self.num_candidates}; it must be 1 to 8")
        if not 0 <= self.lines_after_ms <= 60_000:
            raise ConfigError(f"lines_after_ms is {self.lines_after_ms}; it must be 0 to 60000")
        if not 0 <= self.shown_after_ms <= 10_000:
            raise ConfigError(f"shown_after_ms is {self.shown_after_ms}; it must be 0 to 10000")
        if self.max_document_bytes < 0:
            raise ConfigError(
                f"max_document_bytes is {self.max_document_bytes}; it must be 0 or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """What is recorded, and where."""

    level: TelemetryLevel = TelemetryLevel.METRICS
    team: str = ""
    """Name of the team, up to 64 characters; recorded at levels `keys` and `content`."""
    user: str = ""
    """What is hashed into the pseudonym; empty means the login name. Never recorded itself."""
    plugin_version: str = ""
    """Version of the plugin that started the server, which sets this."""
    collector_url: str = ""
    """Where closed segments are sent; empty keeps everything on this machine."""
    collector_token_variable: str = "FIMBLE_COLLECTOR_TOKEN"  # noqa: S105 - the name of a variable
    """Environment variable that holds the token for `collector_url`."""
    collector_ca_file: str = ""
    """Certificate authority of the collector, PEM; empty means those of the system."""
    content_days: int = 30
    """Content is deleted after so many days, 1 to 365."""

    def __post_init__(self) -> None:
        if len(self.team) > 64:
            raise ConfigError(f"team has {len(self.team)} characters; allowed are 64")
        if self.collector_url and not _is_web_address(self.collector_url):
            raise ConfigError(
                f"collector_url is {self.collector_url!r}; it must start with http:// or "
                "https://, then a host"
            )
        if not 1 <= self.content_days <= 365:
            raise ConfigError(f"content_days is {self.content_days}; it must be 1 to 365")


class ContextUse(StrEnum):
    """When prompts hold code of other files."""

    AUTO = "auto"
    """Where the model's manifest says that it was trained with such prompts."""
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSettings:
    """Code of other files of the workspace in prompts."""

    enabled: ContextUse = ContextUse.AUTO
    budget_bytes: int = SNIPPET_BYTES
    """Code of other files in a prompt, 0 to 16384 bytes; a model knows the size it was trained
    with."""
    max_files: int = 2000
    """Files of a workspace folder that are read, 0 to 20000; those near its top come first."""

    def __post_init__(self) -> None:
        if not 0 <= self.budget_bytes <= 16_384:
            raise ConfigError(f"budget_bytes is {self.budget_bytes}; it must be 0 to 16384")
        if not 0 <= self.max_files <= 20_000:
            raise ConfigError(f"max_files is {self.max_files}; it must be 0 to 20000")


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSettings:
    """Signed rules that say which model a user gets; only `fimble.toml` can set these."""

    keys: tuple[str, ...] = ()
    """Public keys that may sign rules, as `fimble rollout key` prints them; none: no rules."""
    file: str = ""
    """The rules; empty means `rollout.toml` beside `fimble.toml`."""
    check_every_s: int = 5
    """Sessions look for other rules so often, 1 to 3600 s."""

    def __post_init__(self) -> None:
        if not 1 <= self.check_every_s <= 3600:
            raise ConfigError(f"check_every_s is {self.check_every_s}; it must be 1 to 3600")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSettings:
    """Where benchmarks lie."""

    benchmarks: str = ""
    """Folder of benchmark files; `FIMBLE_BENCHMARKS` overrides it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a user can configure."""

    engine: EngineSettings = field(default_factory=EngineSettings)
    completion: CompletionSettings = field(default_factory=CompletionSettings)
    context: ContextSettings = field(default_factory=ContextSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    rollout: RolloutSettings = field(default_factory=RolloutSettings)
    eval: EvalSettings = field(default_factory=EvalSettings)


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port, or of an address in brackets
        return False


def load_settings(path: Path | None = None) -> Settings:
    """Return the user's settings; the defaults where there is no file.

    Raises:
        ConfigError: The file exists and does not fit, or `FIMBLE_CONFIG` names a missing one.
    """
    chosen = path or config_file()
    if not chosen.exists():
        if path is not None or os.environ.get("FIMBLE_CONFIG"):
            raise ConfigError(f"there is no configuration file {chosen}")
        return Settings()
    return read_toml(Settings, chosen)


def with_client_options(
    settings: Settings, options: Mapping[str, object], *, where: str = "initializationOptions"
) -> Settings:
    """Return `settings` with the tables that an editor sent put over them.

    Args:
        settings: Of the user.
        options: What the editor sent.
        where: How messages call it.

    Raises:
        ConfigError: The editor sent an unknown key or a wrong value, or would record more than the
            user's own file allows, or would trust other rules: what an editor sends may come from
            a workspace.
    """
    overlaid = _overlaid(settings, options, where=where)
    if overlaid.rollout != settings.rollout:
        raise ConfigError(f"{where}: rollout can be set in fimble.toml only")
    allowed, wanted = settings.telemetry.level, overlaid.telemetry.level
    guarded = allowed is TelemetryLevel.OFF or wanted is TelemetryLevel.CONTENT
    if guarded and wanted not in {allowed, TelemetryLevel.OFF}:
        raise ConfigError(
            f"{where}: telemetry: level is {wanted.value!r}; fimble.toml allows "
            f"{allowed.value!r}, and only that file can raise it"
        )
    return overlaid


def _overlaid(section: Section, table: Mapping[str, object], *, where: str) -> Section:
    """Return `section` with the keys of `table` put over it, and over its own tables."""
    typed = from_table(type(section), table, where=where)  # refuses what the section cannot hold
    changed: dict[str, object] = {}
    for key, value in table.items():
        old = getattr(section, key)
        is_table = is_dataclass(old) and isinstance(value, dict)
        changed[key] = (
            _overlaid(old, value, where=f"{where}: {key}") if is_table else getattr(typed, key)
        )
    return replace(section, **changed)
