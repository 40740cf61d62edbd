"""Random-weights Llama models with a real vocabulary: everything of a release but its quality.

`tiny_checkpoint` and `tiny_model_folder` are made once for all tests of a run, and must not be
changed; `write_checkpoint` makes any other.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.fim import FIMBLE, SPECIAL_TOKENS
from training.export.engine_model import write_engine_model
from training.export.quantise import Quantisation
from training.export.weights import load_weights
from training.vocabulary.learn import learn

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import LlamaConfig

TINY_VOCABULARY = 512


@functools.cache
def tiny_checkpoint() -> Path:
    """Return a Hugging Face folder with a Llama of 2 layers and 512 tokens."""
    return write_checkpoint(_new_folder("checkpoint"), config=llama_config())


@functools.cache
def tiny_model_folder(quantisation: Quantisation = Quantisation.INT8) -> Path:
    """Return a model folder of the same model, as the embedded engine loads it."""
    folder = _new_folder(f"tiny-{quantisation.name.lower()}")
    write_engine_model(load_weights(tiny_checkpoint()), folder, quantisation=quantisation)
    return folder


@functools.cache
def tiny_tokenizer(vocab_size: int = TINY_VOCABULARY) -> Tokenizer:
    """Return a vocabulary learnt from Python's own library."""
    tokenizer = learn(_standard_library_texts(max_bytes=800 * vocab_size), size=vocab_size)
    assert tokenizer.get_vocab_size() == vocab_size
    return tokenizer


def llama_config(
    *,
    vocab_size: int = TINY_VOCABULARY,
    hidden_size: int = 128,
    intermediate_size: int = 384,
    num_hidden_layers: int = 2,
    heads: tuple[int, int] = (2, 1),
    head_dim: int = 64,
    is_tied: bool = True,
) -> LlamaConfig:
    """Return the configuration of a small model; `heads` counts query and key-value heads."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=num_hidden_layers,
        num_attention_heads=heads[0],
        num_key_value_heads=heads[1],
        head_dim=head_dim,
        max_position_embeddings=2048,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=is_tied,
        bos_token_id=None,
        eos_token_id=SPECIAL_TOKENS.index(FIMBLE.end),
        pad_token_id=SPECIAL_TOKENS.index(FIMBLE.pad),
    )


def write_checkpoint(folder: Path, *, config: LlamaConfig) -> Path:
    """Write a Hugging Face folder of a model with random weights, seed 0, and return it.

    Weights are wider than those that training starts from, so that logits are far enough apart for
    greedy outputs to be compared.
    """
    import torch
    from transformers import LlamaForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
        for name, parameter in model.named_parameters():
            if "norm" in name:
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
            else:
                torch.nn.init.normal_(parameter, std=0.05)
    model.save_pretrained(folder)
    tiny_tokenizer(config.vocab_size).save(str(folder / "tokenizer.json"))
    return folder


def _standard_library_texts(*, max_bytes: int) -> list[str]:
    """Return sources of Python's own library, up to `max_bytes` of them, in a fixed order."""
    texts: list[str] = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if "site-packages" in path.parts:
            continue
        texts.append(path.read_text(encoding="utf-8", errors="replace"))
        max_bytes -= path.stat().st_size
        if max_bytes < 0:
            break
    return texts


def _new_folder(name: str) -> Path:
    """Return an empty folder that goes with the process."""
    parent = Path(tempfile.mkdtemp(prefix="fimble-"))
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    folder = parent / name
    folder.mkdir()
    return folder
