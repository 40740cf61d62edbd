from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from bench.llama_agreement import greedy_agreements, texts_encoded_otherwise
from tests.export.elsewhere.probe import texts
from training.export.gguf import GgufType, write_gguf
from training.export.hf import write_hf_folder
from training.export.weights import load_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.elsewhere, pytest.mark.timeout(900)]
_CHILD = Path(__file__).with_name("llama_child.py")
_PYTHON = Path("build/elsewhere/llama.cpp/bin/python")


@contextmanager
def served(model: Path) -> Iterator[str]:
    """Yield the address of llama.cpp's server."""
    with (
        subprocess.Popen(
            [_PYTHON, _CHILD, model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as child,
    ):
        assert child.stdout is not None
        try:
            yield next(line.strip() for line in child.stdout if line.startswith("http"))
        finally:
            child.kill()


def test_llama_cpp_reads_a_gguf_as_transformers_reads_the_folder(
    tmp_path: Path, model: Path
) -> None:
    weights = load_weights(model)
    write_hf_folder(weights, tmp_path / "hf")
    write_gguf(weights, tmp_path / "m.gguf", name="m", stored=GgufType.F16)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path / "hf")
    torch_model = LlamaForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float32).eval()
    with served(tmp_path / "m.gguf") as server:
        assert texts_encoded_otherwise(tokenizer, server, texts()) == []
        for agreement in greedy_agreements(torch_model, tokenizer, server, 24):
            # Float16 may decide a near tie otherwise.
            assert agreement.equal_tokens == agreement.num_tokens or agreement.margin < 0.02
