"""Recipes and settings: what fits is typed, what does not is named with file and key."""

import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fimble.config import from_table, read_toml
from fimble.context import WindowBudget
from fimble.errors import ConfigError
from fimble.settings import Settings, TelemetryLevel, load_settings, with_client_options


class Colour(StrEnum):
    """Two colours."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """A table."""

    rate: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ConfigError(f"rate is {self.rate}; it must lie in 0..1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A configuration with every kind of field."""

    name: str
    count: int = 1
    share: float = 0.0
    is_on: bool = False
    colour: Colour = Colour.RED
    folder: Path | None = None
    sizes: tuple[int, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)
    inners: tuple[Inner, ...] = ()


def test_every_kind_of_value_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        'name = "🙂"\r\ncount = 3\r\nshare = 1\nis_on = true\ncolour = "blue"\nfolder = "~/x"\n'
        "sizes = [1, 2]\nscores = { a = 1, b = 2.5 }\ninner = { rate = 1 }\n"
        "[[inners]]\nrate = 0.1\n[[inners]]\n",
        encoding="utf-8",
        newline="",
    )
    assert read_toml(Recipe, path) == Recipe(
        name="🙂",
        count=3,
        share=1.0,
        is_on=True,
        colour=Colour.BLUE,
        folder=Path.home() / "x",
        sizes=(1, 2),
        scores={"a": 1.0, "b": 2.5},
        inner=Inner(rate=1.0),
        inners=(Inner(rate=0.1), Inner()),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing key name"),
        ("name = 3", "name is 3 (int); it must be str"),
        ("name = 'x'\nnmae = 'y'", "unknown key nmae; allowed are colour, count,"),
        ("name = 'x'\ncount = true", "count is True (bool); it must be int"),
        ("name = 'x'\ncount = 1.0", "count is 1.0 (float); it must be int"),
        ("name = 'x'\nis_on = 1", "is_on is 1 (int); it must be bool"),
        ("name = 'x'\ncolour = 'green'", "colour is 'green'; allowed are red, blue"),
        ("name = 'x'\nsizes = 1", "sizes is 1 (int); it must be a list"),
        ("name = 'x'\nsizes = [1, 'b']", "sizes[1] is 'b' (str); it must be int"),
        ("name = 'x'\nscores = [1]", "scores is [1] (list); it must be a table"),
        ("name = 'x'\nscores = { a = 'b' }", "scores.a is 'b' (str); it must be float"),
        ("name = 'x'\ninner = 1", "inner is 1 (int); it must be a table"),
        ("name = 'x'\n[inner]\nrat = 1", "inner: unknown key rat; allowed are rate"),
        ("name = 'x'\n[inner]\nrate = 2", "inner: rate is 2.0; it must lie in 0..1"),
        ("name = 'x'\n[[inners]]\n[[inners]]\nrate = 2", "inners[1]: rate is 2.0;"),
        ("name = ", "is not valid TOML"),
    ],
)
def test_what_does_not_fit_is_named_with_file_and_key(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        read_toml(Recipe, path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot read"):
            read_toml(Recipe, path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\0\xfe")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        read_toml(Recipe, binary)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["engine", "completion", "telemetry", "window", "level", "model", "threads", "x"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # slow on a busy machine, that is all
@given(st.dictionaries(st.sampled_from(["engine", "completion", "telemetry", "eval"]), JSON))
def test_whatever_an_editor_sends_is_taken_or_refused_with_a_message(
    options: dict[str, object],
) -> None:
    try:
        merged = with_client_options(Settings(), options)
    except ConfigError as error:
        assert str(error).startswith("initializationOptions")  # noqa: PT017 - either way is fine
    else:
        assert from_table(Settings, options, where="again") == merged


def test_an_editor_changes_only_the_keys_that_it_sends() -> None:
    file = from_table(
        Settings,
        {
            "engine": {"tgi_url": "http://gpu"},
            "completion": {"debounce_ms": 10, "window": {"suffix_bytes": 500}},
        },
        where="file",
    )
    merged = with_client_options(file, {"completion": {"window": {"prefix_bytes": 100}}})
    assert merged.engine.tgi_url == "http://gpu"
    assert merged.completion.debounce_ms == 10
    assert merged.completion.window == WindowBudget(prefix_bytes=100, suffix_bytes=500)
    assert with_client_options(file, {}) == file


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"enigne": {}}, "unknown key enigne; allowed are completion, context, engine, eval, "),
        ({"engine": {"thread": 1}}, "engine: unknown key thread"),
        ({"engine": {"threads": -1}}, "threads and idle_exit_s must be 0 or more"),
        ({"engine": {"tgi_url": "gpu:80"}}, "tgi_url is 'gpu:80'; it must start with http"),
        ({"engine": {"tgi_url": "http://"}}, "tgi_url is 'http://'; it must start with http"),
        ({"engine": {"tgi_url": "http://gpu:x"}}, "tgi_url is 'http://gpu:x'; it must start"),
        ({"engine": {"tgi_url": "http://[gpu"}}, "tgi_url is 'http://[gpu'; it must start"),
        ({"completion": {"max_document_bytes": -1}}, "max_document_bytes is -1; it must be 0"),
        ({"engine": {"fim_format": "x"}}, "fim_format is 'x'; allowed: fimble, qwen"),
        ({"completion": {"max_new_tokens": 0}}, "max_new_tokens is 0; it must be 1 to 512"),
        ({"completion": {"deadline_ms": 49}}, "deadline_ms is 49; it must be 0, or 50 to 60000"),
        ({"completion": {"lines_after_ms": -1}}, "lines_after_ms is -1; it must be 0 to 60000"),
        ({"completion": {"num_candidates": 9}}, "num_candidates is 9; it must be 1 to 8"),
        ({"engine": {"num_parallel": 0}}, "num_parallel is 0; it must be 1 to 64"),
        ({"engine": {"failover_after_ms": 99}}, "failover_after_ms is 99; it must be 100 to 60000"),
        ({"engine": {"url": "gpu"}}, "url is 'gpu'; it must start with http"),
        ({"engine": {"backend": "vllm"}}, "backend is 'vllm'; allowed are embedded, tgi, openai"),
        ({"completion": {"debounce_ms": 5001}}, "debounce_ms is 5001; it must be 0 to 5000"),
        ({"completion": {"shown_after_ms": -1}}, "shown_after_ms is -1; it must be 0 to 10000"),
        ({"completion": {"window": {"prefix_bytes": 1}}}, "window: window budget is"),
        ({"telemetry": {"level": "all"}}, "level is 'all'; allowed are off, metrics"),
        ({"telemetry": None}, "telemetry is None (NoneType); it must be a table"),
    ],
)
def test_a_wrong_option_is_refused_with_its_place(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        with_client_options(Settings(), options)
    assert str(error.value).startswith("initializationOptions")
    assert message in str(error.value)


def test_settings_are_the_defaults_without_a_file_and_the_files_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FIMBLE_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path))
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    assert load_settings() == Settings()
    path = tmp_path / "own.toml"
    path.write_text('[telemetry]\nlevel = "off"\n', encoding="utf-8")
    monkeypatch.setenv("FIMBLE_CONFIG", os.fspath(path))
    assert load_settings().telemetry.level is TelemetryLevel.OFF
    monkeypatch.setenv("FIMBLE_CONFIG", os.fspath(tmp_path / "missing.toml"))
    with pytest.raises(ConfigError, match=r"there is no configuration file .*missing\.toml"):
        load_settings()
