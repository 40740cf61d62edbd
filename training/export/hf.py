"""The Hugging Face folder that transformers 4 and 5, TGI and vLLM load.

transformers 5 writes what version 4, which TGI and older vLLM stand on, misreads: a tokenizer class
that version 4 lacks, and the rotary base in `rope_parameters` only, where version 4 silently takes
10000. So we write the small files ourselves, with both spellings.

Weights out of a training checkpoint are stored in bfloat16. Weights out of a quantised model folder
are stored in float32, which holds every `level * scale` exactly: served elsewhere, the model is the
very one that the embedded engine runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors.torch import save

from fimble.files import write_json, write_whole
from fimble.fim import FIMBLE, SPECIAL_TOKENS
from fimble.manifest import TOKENIZER_NAME
from training.export.engine_model import copy_documents
from training.export.quantise import as_floats
from training.export.weights import CONFIG_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from training.export.weights import Weights

WEIGHTS_NAME = "model.safetensors"
END_ID = SPECIAL_TOKENS.index(FIMBLE.end)
PAD_ID = SPECIAL_TOKENS.index(FIMBLE.pad)


def write_hf_folder(weights: Weights, folder: Path, *, documents: tuple[Path, ...] = ()) -> None:
    """Write the folder, the weights last.

    Args:
        weights: The model.
        folder: Where to write.
        documents: Files to copy beside the weights: model card, attribution.
    """
    dtype = torch.bfloat16 if weights.manifest is None else torch.float32
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG_NAME, _config(weights, dtype=str(dtype).removeprefix("torch.")))
    write_json(folder / "generation_config.json", _generation_config())
    write_json(folder / "tokenizer_config.json", _tokenizer_config(weights.context_tokens))
    write_json(folder / "special_tokens_map.json", _named_tokens())
    write_whole(folder / TOKENIZER_NAME, weights.tokenizer.read_bytes())
    copy_documents(documents, folder)
    tensors = {
        name: torch.tensor(as_floats(tensor)).to(dtype) for name, tensor in weights.tensors.items()
    }
    write_whole(folder / WEIGHTS_NAME, save(tensors, metadata={"format": "pt"}))


def _config(weights: Weights, *, dtype: str) -> dict[str, object]:
    architecture = weights.architecture
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "dtype": dtype,
        "eos_token_id": END_ID,
        "head_dim": architecture.head_dim,
        "hidden_act": "silu",
        "hidden_size": architecture.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": architecture.intermediate_size,
        "max_position_embeddings": weights.context_tokens,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": architecture.num_attention_heads,
        "num_hidden_layers": architecture.num_hidden_layers,
        "num_key_value_heads": architecture.num_key_value_heads,
        "pad_token_id": PAD_ID,
        "pretraining_tp": 1,
        "rms_norm_eps": architecture.rms_norm_eps,
        "rope_parameters": {"rope_theta": architecture.rope_theta, "rope_type": "default"},
        "rope_scaling": None,
        "rope_theta": architecture.rope_theta,
        "tie_word_embeddings": architecture.tie_word_embeddings,
        "torch_dtype": dtype,
        "use_cache": True,
        "vocab_size": architecture.vocab_size,
    }


def _generation_config() -> dict[str, object]:
    """Return how to generate: greedily, and ended by any sentinel, since none is part of a text.

    So a server that knows nothing of FIM does not run on into the next file. Padding is no end:
    transformers could not tell it from the end of a prompt.
    """
    sentinels = [sentinel for sentinel in FIMBLE.sentinels() if sentinel != FIMBLE.pad]
    ends = [SPECIAL_TOKENS.index(sentinel) for sentinel in sentinels]
    return {"do_sample": False, "eos_token_id": ends, "pad_token_id": PAD_ID}


def _named_tokens() -> dict[str, object]:
    return {"eos_token": FIMBLE.end, "pad_token": FIMBLE.pad}


def _tokenizer_config(context_tokens: int) -> dict[str, object]:
    return {
        **_named_tokens(),
        "add_bos_token": False,
        "add_eos_token": False,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "model_max_length": context_tokens,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": None,
    }
