from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from bench.llama_agreement import PROMPTS, prompt_ids
from tests.export.elsewhere.probe import texts
from training.export.hf import write_hf_folder
from training.export.weights import load_weights

pytestmark = [pytest.mark.elsewhere, pytest.mark.timeout(900)]
_CHILD = Path(__file__).with_name("transformers_child.py")
_TRANSFORMERS_4 = Path("build/elsewhere/transformers-4/bin/python")


def asked(python: Path | str, request: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [python, _CHILD], input=json.dumps(request), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_transformers_4_and_5_read_a_folder_alike(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "hf"
    write_hf_folder(load_weights(model), folder)
    probe = texts()
    assert sum(len(text.encode()) for text in probe) > 1_000_000
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = [prompt_ids(tokenizer, *pair) for pair in PROMPTS]
    request = {"folder": str(folder), "texts": probe, "prompts": prompts}
    newer, older = asked(sys.executable, request), asked(_TRANSFORMERS_4, request)
    assert (newer["version"][:2], older["version"][:4]) == ("5.", "4.57")
    assert older["ids"] == newer["ids"]
    assert sum(map(len, newer["ids"])) > 200_000
    assert older["written"] == newer["written"]
    assert sum(map(len, newer["written"])) > len(PROMPTS)
