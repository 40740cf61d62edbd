"""The model that is tuned: found, identified, loaded for learning."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedTokenizerFast

from fimble.errors import ModelFolderError
from fimble.files import sha256_of
from fimble.manifest import MANIFEST_NAME, TOKENIZER_NAME, load_manifest
from training.export.engine_model import Origin, origin_of, read_origin
from training.export.hf import write_hf_folder
from training.export.weights import CONFIG_NAME, load_weights
from training.tuning.encoding import Encoder
from training.tuning.recipe import Method

if TYPE_CHECKING:
    from pathlib import Path

    from peft import LoraConfig

    from training.tuning.recipe import AdapterConfig, ModelConfig


class ParentModel(NamedTuple):
    """A model to begin with."""

    folder: Path
    """Hugging Face folder."""
    digest: str
    """Of its manifest, or of its weights where it has none."""
    origin: Origin
    """What a manifest says of it."""
    encoder: Encoder
    config: ModelConfig

    def load(self, method: Method) -> Any:  # noqa: ANN401 - a class of the model's own family
        """Return the model, ready to learn by a method.

        On a GPU, weights that do not learn are held in bfloat16, or in 4 bits.
        """
        is_cuda = torch.cuda.is_available()
        dtype = torch.bfloat16 if is_cuda and method is not Method.FULL else torch.float32
        extra: dict[str, Any] = {}
        if method is Method.QLORA:
            extra["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=dtype,
            )
            extra["device_map"] = {"": torch.cuda.current_device() if is_cuda else "cpu"}
        model = AutoModelForCausalLM.from_pretrained(
            self.folder, dtype=dtype, attn_implementation="sdpa", local_files_only=True, **extra
        )
        model.config.use_cache = False
        if method is Method.QLORA:
            _keep_differentiable(model)
        return model

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Return the vocabulary as trl wants it: with the end of a middle as its end token."""
        fim_format = self.encoder.fim_format
        return PreTrainedTokenizerFast(
            tokenizer_file=str(self.folder / TOKENIZER_NAME),
            eos_token=fim_format.end,
            pad_token=fim_format.pad.strip() or fim_format.end,
        )


def find_parent(config: ModelConfig, aside: Path) -> ParentModel:
    """Return the model that a recipe names.

    Args:
        config: From the recipe.
        aside: Folder for a Hugging Face copy, where the recipe names a model folder of ours.

    Raises:
        ModelFolderError: There is no such model.
    """
    folder, origin = config.path, Origin()
    if (folder / MANIFEST_NAME).is_file():
        manifest = load_manifest(folder)
        origin, digest = origin_of(manifest), manifest.digest
        write_hf_folder(load_weights(folder), aside)
        folder = aside
    elif (folder / CONFIG_NAME).is_file():
        origin, digest = read_origin(folder), _digest_of_weights(folder)
    else:
        raise ModelFolderError(
            f"{folder} holds neither {CONFIG_NAME} (a Hugging Face folder) nor {MANIFEST_NAME} "
            "(a model folder)"
        )
    return ParentModel(folder, digest, origin, Encoder(folder, config.fim_format), config)


def lora_config(config: AdapterConfig) -> LoraConfig:
    """Return the adapter of a recipe; the embedding and the output projection never learn."""
    from peft import LoraConfig, TaskType

    return LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout_rate,
        target_modules=list(config.targets) or "all-linear",
    )


def _keep_differentiable(model: Any) -> None:  # noqa: ANN401 - a model of any family
    """Keep 4-bit layers as they are when the model is looked at between steps.

    On CPUs with AVX512-BF16, bitsandbytes lays the weights out anew at the first pass in
    evaluation mode, for a kernel without a gradient: what is learnt after that is lost, without an
    error.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _digest_of_weights(folder: Path) -> str:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelFolderError(f"{folder} holds no *.safetensors")
    return hashlib.sha256("".join(map(sha256_of, files)).encode()).hexdigest()[:16]
