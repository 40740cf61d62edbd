"""What a tuning run leaves: a Hugging Face folder that `fimble export` takes, and its record.

model/          weights, vocabulary, origin.json
adapter/        of LoRA and QLoRA: the adapter alone, for servers that load several
tuning.json     recipe, versions, parent, what was seen, measurements before and after
log.jsonl       readings while it ran
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

from fimble.errors import ConfigError
from fimble.files import write_json
from fimble.manifest import TOKENIZER_NAME
from training.origin import ORIGIN_NAME
from training.tuning.recipe import Method

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from training.tuning.parent import ParentModel

RECORD_NAME = "tuning.json"
LOG_NAME = "log.jsonl"
_LIBRARIES = ("fimble", "torch", "transformers", "trl", "peft", "bitsandbytes", "datasets")
_BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
_PLACES = frozenset(
    {"data", "watched_data", "preferences", "earlier_preferences", "path", "repository"}
)
"""Fields that say where things lie, not what is learnt from them."""


def recipe_digest(recipe: Any, *inputs: str) -> str:  # noqa: ANN401 - any recipe of tuning
    """Return the SHA-256 of a recipe and of what it reads.

    Args:
        recipe: A dataclass.
        inputs: Digests of what the recipe names by place.
    """
    settings = _without_places(json.loads(json.dumps(dataclasses.asdict(recipe), default=str)))
    text = json.dumps([settings, *inputs], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _without_places(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_places(value) if isinstance(value, dict) else value
        for key, value in settings.items()
        if key not in _PLACES
    }


def begin(out: Path, recipe_sha256: str) -> bool:
    """Make the folder of a run, and return whether the same run was finished in it before.

    Raises:
        ConfigError: It holds another run.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / RECORD_NAME
    if not path.exists():
        write_json(path, {"recipe_sha256": recipe_sha256})
        return False
    found = json.loads(path.read_text(encoding="utf-8"))
    if found.get("recipe_sha256") != recipe_sha256:
        raise ConfigError(
            f"{out} holds a run of another recipe, model or data; give another folder"
        )
    return "after" in found


def read_run(out: Path) -> dict[str, Any]:
    """Return the record of a finished run."""
    return json.loads((out / RECORD_NAME).read_text(encoding="utf-8"))


def write_record(out: Path, recipe: Any, record: Mapping[str, object]) -> None:  # noqa: ANN401
    """Write the record of a finished run."""
    versions = {name: version(name) for name in _LIBRARIES}
    settings = json.loads(json.dumps(dataclasses.asdict(recipe), default=str))
    write_json(out / RECORD_NAME, {**record, "recipe": settings, "versions": versions})


def save_model(model: Any, parent: ParentModel, method: Method, out: Path) -> None:  # noqa: ANN401
    """Write what was learnt: whole weights in bfloat16, and the adapter where there is one.

    An adapter learnt beside 4-bit weights is added to the parent's own weights: nothing of the
    rounding stays.
    """
    folder = out / "model"
    if method is not Method.FULL:
        model.save_pretrained(out / "adapter")
    if method is Method.QLORA:
        from peft import PeftModel

        whole = parent.load(Method.LORA)
        model = PeftModel.from_pretrained(whole, out / "adapter").merge_and_unload()
    elif method is Method.LORA:
        model = model.merge_and_unload()
    model.config.use_cache = True
    model.to(torch.bfloat16).save_pretrained(folder)
    shutil.copyfile(parent.folder / TOKENIZER_NAME, folder / TOKENIZER_NAME)
    for path in (*(parent.folder / name for name in _BESIDE), *parent.config.path.glob("*.md")):
        if path.is_file() and path.name != "README.md":
            shutil.copyfile(path, folder / path.name)


def write_origin(
    folder: Path,
    parent: ParentModel,
    *,
    recipe_sha256: str,
    data_card_sha256: str,
    scores: Mapping[str, float],
) -> None:
    """Write `origin.json`, from which `fimble export` fills the manifest."""
    origin = dataclasses.asdict(parent.origin)
    write_json(
        folder / ORIGIN_NAME,
        {
            **origin,
            "fim_format": parent.config.fim_format,
            "context": list(parent.origin.context),
            "parent": parent.digest,
            "recipe_sha256": recipe_sha256,
            "data_card_sha256": data_card_sha256,
            "scores": dict(sorted(scores.items())),
        },
    )
