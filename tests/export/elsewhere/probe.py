"""Text in many languages, to compare programs on."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from pathlib import Path

_HARD = (
    *("", " ", "\n", "\r\n", "\t\t\n\n\n    x", "\x01\x7f", "a\u0301e\u0300", "¹²³ ½ Ⅷ ٣"),
    *("👩‍👩‍👧 größe 漢字 ﷽ \u200b\ufeff", "<|fim_middle|><|endoftext|>", "don't I'LL 'tis"),
    *("x" * 5000, "1234567890" * 50, " " * 999),
)
_ENDINGS = {".py", ".md", ".lua", ".sql", ".toml", ".js", ".ts", ".json", ".j2", ".sh"}
MAX_BYTES = 1_200_000


def texts() -> list[str]:
    """Return hard cases, HumanEval-X where it is there, and our own files: over a megabyte."""
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)
    paths = [path for name in listed.stdout.split("\n") if (path := Path(name)).is_file()]
    found, num_bytes = [*_HARD, *_solutions()], 0
    for path in paths:
        if path.suffix in _ENDINGS and num_bytes < MAX_BYTES:
            found.append(path.read_text(encoding="utf-8"))
            num_bytes += path.stat().st_size
    return found


def _solutions() -> list[str]:
    """Return the solutions of HumanEval-X."""
    folder = Path(os.environ.get("FIMBLE_BENCHMARKS", "../shared/benchmarks"))
    found = []
    for path in sorted(folder.glob("humaneval_x/humaneval_*.jsonl.gz")):
        records = map(json.loads, gzip.decompress(path.read_bytes()).decode().splitlines())
        found.append(
            "\n".join(record["prompt"] + record["canonical_solution"] for record in records)
        )
    return found
