"""Instruction data out of a corpus: mined, drawn, counted.

    examples/train.parquet, examples/held_out.parquet    see `training.tuning.record`
    messages/train.jsonl, messages/held_out.jsonl        if asked for
    card.json                                            counts, digests, what it was made of

Held out are the projects that the corpus holds out. The corpus is clean and decontaminated, and
nothing but its text goes into an example.
"""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import json
import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from fimble.clock import SystemClock
from fimble.errors import ConfigError
from fimble.files import sha256_of, write_json, write_whole
from fimble.preferences import Split
from training.examples.documents import Documents, write_documents
from training.examples.neighbours import neighbourhoods
from training.run_record import CARD_NAME
from training.tuning.edits import edits_of
from training.tuning.messages import conversation
from training.tuning.mining import examples_of, project_of, rank
from training.tuning.record import FORMAT_VERSION, Example, Task, write_examples
from training.waiting import Progress, say_nothing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from training.examples.neighbours import Neighbourhood
    from training.tuning.recipe import DataRecipe, ReleasePair
    from training.waiting import Say

SPLITS = {Split.TRAIN: "train", Split.HELD_OUT: "validation"}
"""What the corpus calls them."""
KIND = "fimble-instructions"


class _Job(NamedTuple):
    """Some files of one project, to be mined by any process."""

    documents: Path
    where: Neighbourhood
    recipe: DataRecipe


def examples_path(folder: Path, split: Split) -> Path:
    """Return the file of one side of a folder of instruction data."""
    return folder / "examples" / f"{split}.parquet"


def build_data(recipe: DataRecipe, out: Path, *, tell: Say = say_nothing) -> dict[str, object]:
    """Write a folder of instruction data, and return its card.

    Args:
        recipe: What to mine.
        out: The folder.
        tell: Is told how far it has come.

    Raises:
        ConfigError: The corpus has no files, or gives no example.
    """
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out, prefix="documents-") as folder:
        kept = {split: _of_split(recipe, split, Path(folder), tell) for split in SPLITS}
    if not kept[Split.TRAIN]:
        raise ConfigError(f"the corpus {recipe.corpus} gives no example to train on")
    for split, examples in kept.items():
        write_examples(examples_path(out, split), examples)
        if recipe.messages:
            _write_messages(out / "messages" / f"{split}.jsonl", examples)
    card = _card(recipe, out, kept)
    write_json(out / CARD_NAME, card)
    return card


def _of_split(recipe: DataRecipe, split: Split, aside: Path, tell: Say) -> list[Example]:
    """Return the examples of one side, drawn from all of its candidates."""
    tell(f"{split}: reading {recipe.corpus}")
    limit = recipe.per_cell if split is Split.TRAIN else recipe.held_out_per_cell
    chosen = _Chosen(limit, recipe.seed)
    documents = aside / f"{split}.arrow"
    write_documents(recipe.corpus, SPLITS[split], documents)
    progress = Progress(
        split.value, len(Documents(documents)), "files", tell=tell, clock=SystemClock()
    )
    for where, found in _mined(documents, recipe):
        chosen.add(found)
        progress.add(where.stop - where.start, f"{len(chosen):,} examples")
    for number, pair in enumerate(recipe.releases):
        tell(f"{split}: changes from {pair.before} to {pair.after}")
        chosen.add(_released(pair, split, aside / f"{split}-{number}", recipe))
    return chosen.examples()


class _Chosen:
    """The examples with the smallest hashes of each task and language, whatever their order."""

    def __init__(self, per_cell: int, seed: int) -> None:
        self._per_cell, self._seed = per_cell, seed
        self._cells: dict[tuple[str, str], list[tuple[int, int, Example]]] = {}
        self._seen: set[str] = set()

    def add(self, examples: Iterable[Example]) -> None:
        """Take note of some examples; those that say the same as another one are left out."""
        for example in examples:
            same = rank(f"{example.task}/{example.prefix[-400:]}/{example.middle}")
            if same in self._seen:
                continue
            self._seen.add(same)
            heap = self._cells.setdefault((example.task, example.language), [])
            # A heap holds its smallest value on top: the negated hash that is to be dropped.
            entry = (-int(rank(f"{self._seed}/{same}")[:16], 16), len(self._seen), example)
            if len(heap) < self._per_cell:
                heapq.heappush(heap, entry)
            else:
                heapq.heappushpop(heap, entry)

    def __len__(self) -> int:
        return sum(map(len, self._cells.values()))

    def examples(self) -> list[Example]:
        """Return what was chosen, by task, language, and place."""
        chosen = [example for heap in self._cells.values() for *_, example in heap]
        key = ("task", "language", "project", "path", "place", "middle")
        return sorted(chosen, key=lambda e: tuple(getattr(e, name) for name in key))


def _mined(path: Path, recipe: DataRecipe) -> Iterator[tuple[Neighbourhood, list[Example]]]:
    """Yield each neighbourhood with its examples, in order, from one or more processes."""
    places = list(neighbourhoods(Documents(path)))
    jobs = [_Job(path, where, recipe) for where in places]
    if recipe.jobs == 1:
        yield from zip(places, map(_mine, jobs), strict=True)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(recipe.jobs, mp_context=context) as pool:
        yield from zip(places, pool.map(_mine, jobs), strict=True)


def _mine(job: _Job) -> list[Example]:
    documents = Documents(job.documents)
    files = [documents[doc_id] for doc_id in range(job.where.start, job.where.stop)]
    project = project_of(files, job.recipe.mining)
    return [
        example
        for document in files
        for example in examples_of(document, project, job.recipe.mining, seed=job.recipe.seed)
    ]


def _released(
    pair: ReleasePair, split: Split, aside: Path, recipe: DataRecipe
) -> Iterator[Example]:
    """Yield the changes between two corpora, of the projects that the newer one has in a split.

    Projects that one of the two holds out are never trained on.
    """
    old_path, new_path = aside.with_suffix(".before.arrow"), aside.with_suffix(".after.arrow")
    write_documents(pair.after, SPLITS[split], new_path)
    write_documents(pair.before, SPLITS[split], old_path)
    old, new = Documents(old_path), Documents(new_path)
    origins = (old.origin(doc_id) for doc_id in range(len(old)))
    places = {(each.project, each.path): each.doc_id for each in origins}
    for doc_id in range(len(new)):
        origin = new.origin(doc_id)
        before = places.get((origin.project, origin.path))
        if before is not None:
            yield from edits_of(old[before], new[doc_id], recipe.mining, seed=recipe.seed)


def _write_messages(path: Path, examples: list[Example]) -> None:
    found = filter(None, map(conversation, examples))
    lines = "".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in found)
    write_whole(path, lines.encode())


def _card(recipe: DataRecipe, out: Path, kept: dict[Split, list[Example]]) -> dict[str, object]:
    """Return what the folder holds and where it comes from."""
    settings = json.loads(json.dumps(dataclasses.asdict(recipe), default=str))
    settings.pop("jobs")  # who did the work changes nothing
    source = recipe.corpus / CARD_NAME
    corpora = [recipe.corpus, *(side for p in recipe.releases for side in (p.before, p.after))]
    return {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "recipe": settings,
        "corpus_card_sha256": sha256_of(source) if source.exists() else "",
        "benchmarks_kept_out": [_benchmarks(corpus) for corpus in corpora],
        "num_examples": {split.value: len(found) for split, found in kept.items()},
        "num_projects": {
            split.value: len({each.project for each in found}) for split, found in kept.items()
        },
        "by_task": {split.value: _counts(found) for split, found in kept.items()},
        "files": {
            str(examples_path(out, split).relative_to(out)): sha256_of(examples_path(out, split))
            for split in kept
        },
    }


def _benchmarks(corpus: Path) -> dict[str, object]:
    """Return against which benchmarks a corpus was decontaminated, as its card says."""
    path = corpus / CARD_NAME
    card = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {"corpus": corpus.name, "benchmarks": card.get("benchmarks", [])}


def _counts(examples: list[Example]) -> dict[str, dict[str, int]]:
    """Return the number of examples by task and language, and of each task as `all`."""
    counts = Counter((example.task, example.language) for example in examples)
    return {
        task.value: {
            "all": sum(count for (each, _), count in counts.items() if each is task),
            **{lang: count for (each, lang), count in sorted(counts.items()) if each is task},
        }
        for task in Task
        if any(each is task for each, _ in counts)
    }


def read_card(folder: Path) -> dict[str, object]:
    """Return the card of a folder of instruction data.

    Raises:
        ConfigError: The folder holds none.
    """
    path = folder / CARD_NAME
    card = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if card.get("kind") != KIND:
        raise ConfigError(f"{folder} holds no instruction data; make it with `fimble tune data`")
    return card


def card_digest(folder: Path) -> str:
    """Return the SHA-256 of a folder's card, which names the digests of its files."""
    read_card(folder)
    return hashlib.sha256((folder / CARD_NAME).read_bytes()).hexdigest()
