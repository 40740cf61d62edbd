"""The arithmetic of `docs/deploy.md`, and the names in it."""

from __future__ import annotations

import math
import re

import pytest

from fimble.manifest import load_manifest
from fimble.paths import model_dir
from fimble.rollout import parse_rollout
from fimble.settings import EngineSettings, TelemetrySettings
from tests.deploy.manifests import COMPOSE, DEPLOY, ROOT, interpolated

TEXT = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")


def test_sizes_of_keys_and_values_are_those_of_the_shapes() -> None:
    shape = load_manifest(model_dir(), verify=False).architecture
    shipped = (shape.num_hidden_layers, shape.num_key_value_heads, shape.head_dim)
    sizes = re.findall(
        r"(\d+) layers, (\d+) KV heads of (\d+) \|[^|]*\| ([\d,]+) bytes \| (\d+) MB \|", TEXT
    )
    assert len(sizes) == 2
    assert tuple(map(int, sizes[0][:3])) == shipped
    for layers, heads, dim, said, whole in sizes:
        token_bytes = 2 * int(layers) * int(heads) * int(dim) * 2
        assert int(said.replace(",", "")) == token_bytes
        assert int(whole) == round(2048 * token_bytes / 1e6)


def test_numbers_of_engines_follow_from_the_formula() -> None:
    found = re.findall(r"⌈([\d.× ]+)÷ (\d+)⌉(?: \+ (\d+))? = (\d+)", TEXT)
    assert len(found) == 4
    for product, carried, spare, said in found:
        typists = math.prod(float(factor) for factor in product.split("×"))
        assert math.ceil(typists / int(carried)) + int(spare or 0) == int(said)


def test_the_rules_of_the_canary_are_rules_and_name_its_address() -> None:
    block = re.search(r"```toml\n# rollout.toml\n(.*?)```", TEXT, re.DOTALL)
    assert block is not None
    [rule] = parse_rollout(block[1], where="docs").rules
    ingress = (DEPLOY / "kubernetes/overlays/canary/ingress.yaml").read_text(encoding="utf-8")
    assert rule.tgi_url.removeprefix("https://") in ingress


def test_editors_are_told_the_names_and_variables_that_are_there() -> None:
    for name in ("engine.fimble.example.com", "telemetry.fimble.example.com"):
        assert name in TEXT
        assert name in (DEPLOY / "kubernetes/base/ingress.yaml").read_text(encoding="utf-8")
        assert name in (COMPOSE / "env.example").read_text(encoding="utf-8")
    assert EngineSettings().token_variable in TEXT
    assert TelemetrySettings().collector_token_variable in TEXT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a ${B:-c} d", "a c d"),
        ("${B:-c}", "c"),
        ("${A:-c} ${A} ${A:?no}", "🙂 🙂 🙂"),
        ("${B:-}", ""),
        ("", ""),
        ("x" * 100_000, "x" * 100_000),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, expected: str) -> None:
    assert interpolated(text, {"A": "🙂"}) == expected
