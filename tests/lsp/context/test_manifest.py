"""A model says in its manifest that it knows code of other files, and the server hears it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from fimble.errors import ConfigError
from fimble.fim import FIMBLE
from fimble.manifest import SNIPPETS, load_manifest
from fimble.paths import SHIPPED_MODEL, model_dir
from lsp_server.engines.tgi import TgiEngine
from lsp_server.serving.bodies import info_body
from lsp_server.serving.limits import Limits
from training.export.engine_model import Origin, origin_of, read_origin
from training.origin import write_origin
from training.recipe import ExampleConfig, PretrainRecipe
from training.run_record import RunRecord

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("context", [(), (SNIPPETS,)])
async def test_the_server_hears_what_the_manifest_says(context: tuple[str, ...]) -> None:
    shipped = load_manifest(model_dir(SHIPPED_MODEL), verify=False)
    assert shipped.context == (SNIPPETS,)
    manifest = dataclasses.replace(shipped, context=context)
    assert manifest.digest == shipped.digest
    body = json.loads(
        json.dumps(info_body(manifest, Limits(max_input_tokens=9, max_total_tokens=10)))
    )
    engine = TgiEngine("http://127.0.0.1:9", fim_format=FIMBLE)
    assert engine._read_info(body).context == context
    await engine.close()
    assert origin_of(manifest).context == context


def test_a_manifest_that_says_something_else_is_refused() -> None:
    shipped = load_manifest(model_dir(SHIPPED_MODEL), verify=False)
    with pytest.raises(ConfigError, match="context is clipboard; allowed is snippets"):
        dataclasses.replace(shipped, context=("clipboard",))


@pytest.mark.parametrize(
    ("rate", "fim_rate", "context"), [(0.0, 0.8, ()), (0.3, 0.8, (SNIPPETS,)), (0.3, 0.0, ())]
)
def test_training_writes_whether_the_model_knows_them(
    tmp_path: Path, rate: float, fim_rate: float, context: tuple[str, ...]
) -> None:
    recipe = PretrainRecipe(
        name="toy",
        corpus=tmp_path,
        tokenizer=tmp_path / "tokenizer.json",
        examples=ExampleConfig(snippet_rate=rate, fim_rate=fim_rate),
    )
    record = RunRecord(
        recipe={},
        recipe_sha256="r",
        corpus_sha256="c",
        tokenizer_sha256="t",
        data_sha256="d",
        versions={},
    )
    write_origin(tmp_path, record, recipe, {})
    assert read_origin(tmp_path) == Origin(recipe_sha256="r", context=context)
