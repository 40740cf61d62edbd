"""Examples with code of other files: nothing is lost, and the layout is the server's."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fimble.fim import FimOrder, Mark, infill_prompt
from fimble.snippets.around import Around
from fimble.snippets.project import ProjectIndex
from training.examples.build import (
    END_ID,
    MARK_IDS,
    document_rng,
    encode_parts,
    examples,
    flat,
    load_tokenizer,
)
from training.examples.documents import Document, Documents, write_documents
from training.examples.neighbours import Neighbours, neighbourhoods
from training.examples.shards import (
    EpochPlan,
    EpochRows,
    build_share,
    epoch_summary,
    mark_built,
)
from training.examples.spans import SpanKind
from training.recipe import ExampleConfig, PretrainRecipe

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer


@pytest.fixture(scope="module")
def tokenizer(tokenizer_path: Path) -> Tokenizer:
    return load_tokenizer(tokenizer_path)


def sections_of(ids: list[int]) -> list[tuple[int | None, list[int]]]:
    """Return what stands behind each mark of an example, in order."""
    assert ids[-1] == END_ID
    sections: list[tuple[int | None, list[int]]] = [(None, [])]
    for token in ids[:-1]:
        if token in MARK_IDS.values():
            sections.append((token, []))
        else:
            sections[-1][1].append(token)
    return sections


def split_off(ids: list[int], document: Document, tokenizer: Tokenizer) -> tuple[list[str], str]:
    """Return the code of other files in an example, and the document's own text."""
    files: list[str] = []
    texts = dict.fromkeys((None, Mark.PREFIX, Mark.MIDDLE, Mark.SUFFIX), "")
    for mark, tokens in sections_of(ids):
        text = tokenizer.decode(tokens, skip_special_tokens=False)
        if mark == MARK_IDS[Mark.FILE]:
            files.append(text)
        elif mark != MARK_IDS[Mark.REPOSITORY]:
            texts[next((m for m in texts if m and MARK_IDS[m] == mark), None)] = text
    if files:
        assert files[-1].startswith(f"{document.path}\n")
        texts[None] += files.pop().removeprefix(f"{document.path}\n")
    return files, "".join(texts[mark] for mark in (None, Mark.PREFIX, Mark.MIDDLE, Mark.SUFFIX))


def project(num_files: int = 4) -> list[Document]:
    """Files that use one another and resemble one another, with characters of several bytes."""
    return [
        Document(
            n,
            "shop",
            f"file_{n}.py",
            "python",
            f"from file_{(n + 1) % num_files} import greet_{(n + 1) % num_files}\n\n\n"
            + "".join(
                f"def greet_{n}_{k}(customer, basket):\n"
                f'    """Say hello 👋 to {k}."""\n    return customer.greet(basket, {n}, {k})\n\n\n'
                for k in range(12)
            ),
        )
        for n in range(num_files)
    ]


WITH_SNIPPETS = ExampleConfig(
    fim_rate=0.9,
    header_rate=0.5,
    empty_suffix_rate=0.0,
    empty_prefix_rate=0.0,
    snippet_rate=0.7,
    snippet_bytes=600,
    chunk_bytes=(1600, 900),
)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), context_tokens=st.sampled_from([4096, 700, 350]))
def test_examples_with_code_of_other_files_reassemble_to_the_document(
    tokenizer: Tokenizer, seed: int, context_tokens: int
) -> None:
    files = project()
    neighbours = Neighbours(files)
    num_with = 0
    for document in files:
        own = ""
        for example in examples(
            document,
            config=WITH_SNIPPETS,
            tokenizer=tokenizer,
            context_tokens=context_tokens,
            rng=document_rng(seed, 0, document.doc_id),
            neighbours=neighbours,
        ):
            ids = [int(token) for token in example.ids]
            assert len(ids) <= context_tokens
            snippets, text = split_off(ids, document, tokenizer)
            own += text
            num_with += bool(snippets)
            paths = [snippet.partition("\n")[0] for snippet in snippets]
            assert sum(len(snippet.encode()) for snippet in snippets) <= 600
            assert sorted({int(path[5]) for path in paths}) == list(example.others)
            assert document.doc_id not in example.others
        assert own == document.text
    assert num_with > 0 or context_tokens == 350


def test_the_prompt_with_code_of_other_files_is_the_one_that_the_server_sends(
    tokenizer: Tokenizer,
) -> None:
    files = project()
    index = ProjectIndex()
    for document in files:
        index.put(document.path, document.text, document.language)
    config = dataclasses.replace(WITH_SNIPPETS, fim_rate=1.0, spm_share=1.0, snippet_rate=1.0)
    document, num_compared = files[2], 0
    for epoch in range(5):
        start = 0
        for example in examples(
            document,
            config=config,
            tokenizer=tokenizer,
            context_tokens=4096,
            rng=document_rng(0, epoch, 2),
            neighbours=Neighbours(files),
        ):
            ids = [int(token) for token in example.ids[:-1]]
            middle_at, prefix_at, suffix_at = (
                ids.index(MARK_IDS[mark]) for mark in (Mark.MIDDLE, Mark.PREFIX, Mark.SUFFIX)
            )
            prefix = tokenizer.decode(ids[prefix_at + 1 : middle_at])
            suffix = tokenizer.decode(ids[suffix_at + 1 : prefix_at])
            middle = tokenizer.decode(ids[middle_at + 1 :])
            before = document.text[:start] + prefix
            start += len(prefix + middle + suffix)
            behind = suffix + document.text[start:]
            snippets = index.select(Around("file_2.py", before, behind, "python"), 600)
            repository = "shop" if ids[0] == MARK_IDS[Mark.REPOSITORY] else ""
            parts = infill_prompt(
                prefix=prefix,
                suffix=suffix,
                order=FimOrder.SPM,
                path="file_2.py",
                repository=repository,
                snippets=snippets,
            )
            assert flat(encode_parts(parts, tokenizer)) == ids[: middle_at + 1]
            num_compared += len(snippets)
    assert num_compared > 5


def test_without_neighbours_or_a_rate_the_draws_are_what_they_were(tokenizer: Tokenizer) -> None:
    document = project()[0]
    drawn = [
        [
            example.ids.tolist()
            for example in examples(
                document,
                config=config,
                tokenizer=tokenizer,
                context_tokens=2048,
                rng=document_rng(0, 0, 0),
                neighbours=neighbours,
            )
        ]
        for config, neighbours in (
            (dataclasses.replace(WITH_SNIPPETS, snippet_rate=0.0), None),
            (dataclasses.replace(WITH_SNIPPETS, snippet_rate=0.0), Neighbours(project())),
            (WITH_SNIPPETS, None),
        )
    ]
    assert drawn[0] == drawn[1] == drawn[2]


def epoch_of(recipe: PretrainRecipe, documents: Path, folder: Path) -> dict[str, bytes]:
    """Draw an epoch and return its files."""
    plan = EpochPlan(recipe, documents, folder, 0)
    folder.mkdir()
    for index in (1, 0):  # the order of shards does not matter
        build_share(plan, index, 2)
    mark_built(plan)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def written(rows: list[dict[str, str]], folder: Path) -> Documents:
    """Write a corpus and return its documents."""
    (folder / "files").mkdir()
    table = pa.Table.from_pylist([{"language": "python", "split": "train", **row} for row in rows])
    pq.write_table(table, folder / "files" / "part.parquet")
    write_documents(folder, "train", folder / "train.arrow")
    return Documents(folder / "train.arrow")


def test_an_epoch_with_code_of_other_files_holds_every_document_and_can_be_drawn_again(
    tokenizer_path: Path, tmp_path: Path
) -> None:
    rows = [
        {"project": name, "path": document.path, "text": document.text}
        for name in ("one", "two", "three")
        for document in project(36)
    ]
    documents = written(rows, tmp_path)
    recipe = PretrainRecipe(
        name="toy",
        corpus=tmp_path,
        tokenizer=tokenizer_path,
        examples=ExampleConfig(snippet_rate=0.5, shard_bytes=1 << 16),
    )
    first = epoch_of(recipe, tmp_path / "train.arrow", tmp_path / "epoch-0000")
    assert epoch_of(recipe, tmp_path / "train.arrow", tmp_path / "again") == first
    assert "shard-0001.json" in first
    rows_of_epoch = EpochRows(tmp_path / "epoch-0000", seed=0, epoch=0)
    seen = rows_of_epoch.documents(0, len(rows_of_epoch))
    assert seen == list(range(len(documents)))
    summary = epoch_summary(tmp_path / "epoch-0000")
    assert 0 < summary["with_snippets"] < sum(summary.get(kind, 0) for kind in SpanKind)


def test_neighbourhoods_are_all_documents_by_project_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.examples.neighbours.MAX_DOCUMENTS", 3)
    monkeypatch.setattr("training.examples.neighbours.MAX_BYTES", 40)
    sizes = [("a", 10)] * 4 + [("b", 30), ("b", 30), ("c", 90), ("c", 1)]
    rows = [
        {"project": p, "path": f"{n}.py", "text": "x" * size} for n, (p, size) in enumerate(sizes)
    ]
    documents = written(rows, tmp_path)
    assert list(documents.sizes()) == sizes
    assert [tuple(each) for each in neighbourhoods(documents)] == [
        (0, 3, 30),
        (3, 4, 10),
        (4, 5, 30),
        (5, 6, 30),
        (6, 7, 90),
        (7, 8, 1),
    ]
