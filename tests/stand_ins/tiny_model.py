"""Random-weights Llama models with a real vocabulary: everything but the quality of a release.

The vocabulary has the shape of a released one: `fimble.fim.SPECIAL_TOKENS` at ids 0 to 63, then
byte-level BPE behind the qwen2 split.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer

from fimble.fim import FIMBLE, SPECIAL_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transformers import LlamaConfig

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TINY_VOCABULARY = 512


def train_tokenizer(texts: Iterable[str], *, vocab_size: int) -> Tokenizer:
    """Return a byte-level BPE vocabulary learnt from `texts`."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Sequence(
        [
            Split(Regex(QWEN2_SPLIT), "isolated"),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(token, special=True) for token in SPECIAL_TOKENS],
        initial_alphabet=ByteLevel.alphabet(),
        max_token_length=32,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    assert tokenizer.get_vocab_size() == vocab_size
    return tokenizer


def standard_library_texts(*, max_bytes: int) -> list[str]:
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


def llama_config(
    *,
    vocab_size: int = TINY_VOCABULARY,
    hidden_size: int = 128,
    intermediate_size: int = 384,
    num_hidden_layers: int = 2,
    heads: tuple[int, int] = (2, 1),
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
        head_dim=64,
        max_position_embeddings=2048,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=is_tied,
        bos_token_id=None,
        eos_token_id=SPECIAL_TOKENS.index(FIMBLE.end),
        pad_token_id=SPECIAL_TOKENS.index(FIMBLE.pad),
    )


def write_checkpoint(folder: Path, *, config: LlamaConfig, tokenizer: Tokenizer) -> Path:
    """Write a Hugging Face folder of a model with random weights, seed 0, and return it.

    Weights are drawn wider than for training, so that logits are far enough apart for greedy
    outputs to be compared.
    """
    import torch
    from transformers import LlamaForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                torch.nn.init.normal_(parameter, std=0.08)
            else:
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
