"""Ablations: one recipe, many arms that differ from it in a few keys, one table.

    python -m training.ablations training/recipes/ablations-30m.toml build/ablations

Every arm is a whole run in a process and a folder of its own, so an interrupted series goes on
where it ended. Arms that draw the same examples share their rows. Several arms at a time keep a
large card busy while one of them starts, compiles or measures.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from fimble.config import from_table
from fimble.errors import ConfigError, FimbleError
from training.examples.documents import write_documents
from training.origin import ORIGIN_NAME
from training.recipe import PretrainRecipe

COLUMNS = {
    "bits per byte": "bits_per_byte/mean",
    "line": "middle_bits_per_byte/line/spm/mean",
    "line, no suffix": "middle_bits_per_byte/line/spm/no_suffix/mean",
    "line, prefix first": "middle_bits_per_byte/line/psm/mean",
    "block": "middle_bits_per_byte/block/spm/mean",
    "block, no suffix": "middle_bits_per_byte/block/spm/no_suffix/mean",
    "exact": "exact_match/line/spm/mean",
    "exact, no suffix": "exact_match/line/spm/no_suffix/mean",
    "stop": "stop_accuracy/line/spm/mean",
}
"""Columns of the table and the scores they show."""


class Series(NamedTuple):
    """A series of runs, as its TOML file has it."""

    parallel: int
    """Arms that run at the same time, spread over all devices."""
    base: dict[str, Any]
    """A `PretrainRecipe` without its name."""
    arms: dict[str, dict[str, Any]]
    """Per arm the keys in which it differs, as tables like those of the base."""

    def recipe(self, arm: str) -> PretrainRecipe:
        """Return the recipe of one arm.

        Raises:
            ConfigError: There is no such arm, or its keys fit no recipe.
        """
        if arm not in self.arms:
            raise ConfigError(f"there is no arm {arm!r}; the arms are {', '.join(self.arms)}")
        table = {"name": arm, **_merged(self.base, self.arms[arm])}
        return from_table(PretrainRecipe, table, where=f"arm {arm}")


def read_series(path: Path) -> Series:
    """Return the series of a TOML file, every arm of it checked.

    Raises:
        ConfigError: The file or one of its arms is no valid recipe.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    if sorted(content) != sorted(Series._fields):
        raise ConfigError(
            f"{path} has the keys {', '.join(content)}; it must have {', '.join(Series._fields)}"
        )
    series = Series(**content)
    for arm in series.arms:
        series.recipe(arm)
    return series


def _merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `change`; tables are merged key by key."""
    result = dict(base)
    for key, value in change.items():
        is_table = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = _merged(base[key], value) if is_table else value
    return result


def run_series(path: Path, out: Path) -> str:
    """Run what is missing of a series and return its table.

    Raises:
        FimbleError: An arm failed; the others were run all the same.
    """
    series = read_series(path)
    for arm in series.arms:
        share_rows(series.recipe(arm), out, out / arm)
    names = _device_names()
    devices: SimpleQueue[str] = SimpleQueue()
    for place in range(series.parallel):
        devices.put(names[place % len(names)])
    with ThreadPoolExecutor(series.parallel) as pool:
        list(pool.map(functools.partial(_run_arm, path, out, devices), series.arms))
    if failed := [arm for arm in series.arms if not _origin(out, arm).exists()]:
        raise FimbleError(f"the arms {', '.join(failed)} failed; see their output.txt in {out}")
    return table(series, out)


def _device_names() -> list[str]:
    """Return the devices that `CUDA_VISIBLE_DEVICES` may name; one empty name without any."""
    import torch  # here, for the processes that an arm starts import this module again

    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return visible.split(",")
    return [str(index) for index in range(torch.cuda.device_count())] or [""]


def _origin(out: Path, arm: str) -> Path:
    """Return the file that a finished arm has."""
    return out / arm / "model" / ORIGIN_NAME


def _run_arm(path: Path, out: Path, devices: SimpleQueue[str], arm: str) -> None:
    """Run one arm on a device that is free."""
    if _origin(out, arm).exists():
        return
    device = devices.get()
    command = [sys.executable, "-m", "training.ablations", str(path), str(out), arm]
    with (out / arm / "output.txt").open("ab") as output:
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": device}
        subprocess.run(command, env=environment, stdout=output, stderr=output, check=False)
    devices.put(device)


def share_rows(recipe: PretrainRecipe, out: Path, folder: Path) -> None:
    """Let an arm read the rows of all arms that draw the same examples."""
    drawn = asdict(recipe.examples), recipe.seed, recipe.model.context_tokens
    key = hashlib.sha256(json.dumps([*drawn, str(recipe.corpus), str(recipe.tokenizer)]).encode())
    corpus = hashlib.sha256(str(recipe.corpus).encode()).hexdigest()[:16]
    documents, rows = out / "documents" / corpus, out / "rows" / key.hexdigest()[:16]
    rows.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "validation"):
        write_documents(recipe.corpus, split, documents / f"{split}.arrow")
        link = rows / f"{split}.arrow"
        if not link.exists():
            link.symlink_to((documents / f"{split}.arrow").absolute())
    if not (folder / "rows").exists():
        (folder / "rows").symlink_to(rows.absolute())


def table(series: Series, out: Path) -> str:
    """Return the scores of all finished arms as a table in Markdown."""
    lines = [f"| arm | {' | '.join(COLUMNS)} |", f"|---{'|---' * len(COLUMNS)}|"]
    for arm in series.arms:
        if (origin := _origin(out, arm)).exists():
            scores = json.loads(origin.read_text())["scores"]
            cells = [_cell(name, scores[name]) for name in COLUMNS.values()]
            lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(name: str, value: float) -> str:
    return f"{value:.4f}" if "bits" in name else f"{100 * value:.1f}%"


def main(arguments: list[str]) -> None:
    """Run the series RECIPE in the folder OUT, or its one ARM in this process."""
    path, out = Path(arguments[0]), Path(arguments[1])
    if len(arguments) == 3:
        from training.pretrain import pretrain

        pretrain(read_series(path).recipe(arguments[2]), out / arguments[2])
    else:
        sys.stdout.write(run_series(path, out))


if __name__ == "__main__":
    main(sys.argv[1:])
