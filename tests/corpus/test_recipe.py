"""A recipe that is wrong says what, where and what is allowed; nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fimble.errors import ConfigError
from training.corpus.recipe import Recipe, SyntaxRules, read_recipe
from training.corpus.source import Source, Split

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


ONE = '{ pypi = "a==1", licence = "MIT" }'
TABLE = '[[sources]]\npypi = "a==1"\nlicence = "MIT"'
TRAIN = '{ pypi = "a==1", licence = "MIT", project = "p", split = "train" }'
HELD_OUT = '{ npm = "a@1", licence = "MIT", project = "p", split = "validation" }'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sources = []", "sources is empty"),
        ('sources = [{ licence = "MIT" }]', "names no package"),
        ('sources = [{ pypi = "a==1", npm = "a@1", licence = "MIT" }]', "names pypi and npm"),
        ('sources = [{ pypi = "click", licence = "MIT" }]', "write pypi = name==version"),
        ('sources = [{ npm = "@scope/name", licence = "MIT" }]', "write npm = name@version"),
        ('sources = [{ debian = "curl", licence = "MIT" }]', "write debian = name=version"),
        ('sources = [{ directory = ".", licence = "MIT" }]', "add project"),
        ('sources = [{ pypi = "a==1" }]', "missing key licence"),
        ('sources = [{ pypi = "a==1", license = "MIT" }]', "unknown key license"),
        (f'sources = [{ONE[:-2]}, split = "test" }}]', "allowed are train, validation"),
        (f"sources = [{ONE}, {ONE}]", "more than once"),
        (f'keep_out = ["a"]\nsources = [{ONE}]', "which keep_out forbids"),
        (f"validation_rate = 2\nsources = [{ONE}]", "must lie in 0..1"),
        (f"[limits]\nfile_bytes = 0\n{TABLE}", "must be above 0"),
        (f"[caps.language_bytes_of]\ncobol = 1\n{TABLE}", "unknown language 'cobol'"),
        (f"sources = [{TRAIN}, {HELD_OUT}]", "project 'p' is named for both splits"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_reason(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_recipe(write(tmp_path, f'name = "x"\n{body}\n'))
    assert message in str(caught.value)
    assert "recipe.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Source(pypi="click==8.3.0", licence="MIT"), ("pypi:click==8.3.0", "click", "8.3.0")),
        (Source(npm="@a/b@1.2.3", licence="MIT"), ("npm:@a/b@1.2.3", "@a/b", "1.2.3")),
        (Source(debian="re2=1:2+ds-1", licence="MIT"), ("debian:re2=1:2+ds-1", "re2", "1:2+ds-1")),
        (Source(directory="../lib/", licence="MIT"), ("directory:../lib/", "lib", "")),
    ],
)
def test_a_source_knows_its_name_and_version(
    source: Source, expected: tuple[str, str, str]
) -> None:
    assert (source.key, source.name, source.version) == expected


def test_the_hash_draws_whole_projects_and_the_recipe_has_the_last_word() -> None:
    sources = [Source(pypi=f"p{n}==1", licence="MIT") for n in range(200)]
    sources += [Source(npm=f"p{n}@1", licence="MIT") for n in range(200)]
    named = Source(pypi="named==1", licence="MIT", split=Split.VALIDATION)
    recipe = Recipe(name="x", seed=3, validation_rate=0.2, sources=(*sources, named))
    drawn = [n for n in range(200) if recipe.splits.of(f"p{n}") is Split.VALIDATION]
    assert 20 <= len(drawn) <= 60
    assert recipe.splits.of("named") is Split.VALIDATION
    assert Recipe(name="x", seed=3, sources=(named,)).splits.of("other") is Split.TRAIN


def test_a_shipped_recipe_names_no_host_and_keeps_the_demonstrations_out() -> None:
    for path in RECIPES.glob("corpus-*.toml"):
        recipe = read_recipe(path)
        assert "://" not in path.read_text(encoding="utf-8")
        assert set(recipe.keep_out) >= {"flask", "requests", "httpx", "express", "gson"}


def test_a_shipped_recipe_names_permissive_licences_only() -> None:
    from training.corpus.licence import is_permissive

    for path in RECIPES.glob("corpus-*.toml"):
        for source in read_recipe(path).sources:
            assert is_permissive(source.licence), source


@pytest.mark.parametrize(
    "shares", [{"klingon": 0.5}, {"sql": 1.5}, {"sql": -0.1}], ids=["language", "high", "low"]
)
def test_limits_of_syntax_are_checked(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"syntax.max_error_share"):
        SyntaxRules(max_error_share=shares)
