"""Reading what `deploy/` says: manifests, words of commands, and our own options."""

from __future__ import annotations

import argparse
import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fimble.cli import VERBS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
COMPOSE = DEPLOY / "compose"

TGI_FLAGS = frozenset(
    [
        "model-id",
        "revision",
        "validation-workers",
        "sharded",
        "num-shard",
        "quantize",
        "speculate",
        "dtype",
        "kv-cache-dtype",
        "trust-remote-code",
        "max-concurrent-requests",
        "max-best-of",
        "max-stop-sequences",
        "max-top-n-tokens",
        "max-input-tokens",
        "max-input-length",
        "max-total-tokens",
        "waiting-served-ratio",
        "max-batch-prefill-tokens",
        "max-batch-total-tokens",
        "max-waiting-tokens",
        "max-batch-size",
        "cuda-graphs",
        "hostname",
        "port",
        "prometheus-port",
        "shard-uds-path",
        "master-addr",
        "master-port",
        "huggingface-hub-cache",
        "weights-cache-override",
        "disable-custom-kernels",
        "cuda-memory-fraction",
        "rope-scaling",
        "rope-factor",
        "json-output",
        "otlp-endpoint",
        "otlp-service-name",
        "cors-allow-origin",
        "api-key",
        "watermark-gamma",
        "watermark-delta",
        "ngrok",
        "ngrok-authtoken",
        "ngrok-edge",
        "tokenizer-config-path",
        "disable-grammar-support",
        "env",
        "max-client-batch-size",
        "lora-adapters",
        "usage-stats",
        "payload-limit",
        "enable-prefill-logprobs",
        "graceful-termination-timeout",
    ]
)
"""Of `text-generation-launcher`, each also an environment variable.

Source: text-generation-inference v3.3.7, launcher/src/main.rs, `struct Args`.
"""
TGI_QUANTIZE = frozenset(
    [
        "awq",
        "compressed-tensors",
        "eetq",
        "exl2",
        "gptq",
        "marlin",
        "bitsandbytes",
        "bitsandbytes-nf4",
        "bitsandbytes-fp4",
        "fp8",
    ]
)
"""Source: the same, `enum Quantization`."""
VLLM_FLAGS = frozenset(
    {"model", "served-model-name", "host", "port", "enable-prefix-caching", "max-model-len"}
)
"""Those that we use. Source: docs.vllm.ai, "vllm serve"."""
LLAMA_FLAGS = frozenset(
    {"host", "port", "metrics", "offline", "parallel", "ctx-size", "n-gpu-layers"}
)
"""Those that we use. Source: llama.cpp, tools/server/README.md."""
ELSEWHERE = frozenset(
    {"HF_HUB_OFFLINE", "VLLM_API_KEY", "VLLM_NO_USAGE_STATS", "LLAMA_ARG_MODEL", "LLAMA_API_KEY"}
)
"""Environment variables of others."""


def documents(path: Path) -> list[dict[str, Any]]:
    """Return the YAML documents of a file."""
    return [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]


def resources() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each Kubernetes resource in the repository with its file."""
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        if path.name == "kustomization.yaml" or path.parent.name == "monitoring":
            continue
        for resource in documents(path):
            yield path, resource


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """Return a text as Compose reads it: `${A}`, `${A:-default}`, `${A:?message}`.

    Raises:
        KeyError: A variable that must be there is empty.
    """

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        found = variables.get(name, "")
        if not found and kind == ":?":
            raise KeyError(f"{name}: {rest}")
        return found or (rest if kind == ":-" else "")

    return re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", value, text)


def our_arguments(words: Sequence[str]) -> argparse.Namespace:
    """Return what `fimble` makes of the words of a command.

    Raises:
        SystemExit: It does not take them.
    """
    verb, *rest = words
    parser = argparse.ArgumentParser()
    importlib.import_module(VERBS[verb].module).add_arguments(parser)
    return parser.parse_args(rest)


def flags_of(words: Sequence[str]) -> set[str]:
    """Return the long options among the words of a command."""
    return {word[2:].partition("=")[0] for word in words if word.startswith("--")}
