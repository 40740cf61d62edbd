"""The process whose memory `bench.training.memory` measures."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.training.memory import draw_and_read

if __name__ == "__main__":
    corpus, tokenizer, shard_bytes = sys.argv[1:]
    peak = draw_and_read(Path(corpus), Path(tokenizer), int(shard_bytes))
    print(json.dumps({"peak_bytes": peak}))
