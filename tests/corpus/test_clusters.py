"""Near duplicates end to end, against exact Jaccard similarities of planted files."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from fimble.languages import LANGUAGES, Language, by_name
from training.corpus.clusters import components, verified
from training.corpus.minhash import signatures

BRACES = ("{head} {{", "    {let} {c} = {a} {op} {g}({b}, {n});", "    return {c};", "}}")
SHAPES = {
    "python": ("def {f}({a}, {b}):", "    {c} = {a} {op} {g}({b}, {n})", "    return {c}", ""),
    "ruby": ("def {f}({a}, {b})", "  {c} = {a} {op} {g}({b}, {n})", "  {c}", "end"),
    "lua": (
        "function {f}({a}, {b})",
        "  local {c} = {a} {op} {g}({b}, {n})",
        "  return {c}",
        "end",
    ),
    "bash": ("{f}() {{", '  {c}=$(({a} {op} $({g} "${b}" {n})))', '  echo "${c}"', "}}"),
    "sql": ("create view {f} as", "select {a} {op} {g}({b}, {n}) as {c},", "  {c} from {b}", ";"),
    "html": ('<ul id="{f}">', '<li class="{a} {b}"><i>{g}</i> {c} {n}</li>', "<b>{c}</b>", "</ul>"),
    "css": (".{f} .{a} > .{b} {{", "    --{c}: {g}({a}, {n}px);", "    color: var(--{c});", "}}"),
}
HEADS = {
    "c": ("int {f}(int {a}, int {b})", "int"),
    "cpp": ("auto {f}(int {a}, int {b}) -> int", "auto"),
    "csharp": ("static int {f}(int {a}, int {b})", "var"),
    "go": ("func {f}({a} int, {b} int) int", "var"),
    "java": ("static int {f}(int {a}, int {b})", "int"),
    "javascript": ("function {f}({a}, {b})", "const"),
    "kotlin": ("fun {f}({a}: Int, {b}: Int): Int", "val"),
    "php": ("function {f}(${a}, ${b})", "$_ ="),
    "rust": ("fn {f}({a}: i32, {b}: i32) -> i32", "let"),
    "scala": ("def {f}({a}: Int, {b}: Int): Int =", "val"),
    "tsx": ("export const {f} = ({a}: number, {b}: number) =>", "const"),
    "typescript": ("export function {f}({a}: number, {b}: number): number", "const"),
}
LICENCES = (
    "Permission is hereby granted free of charge to any person obtaining a copy of this software",
    "Licensed under the terms of the Apache License version 2.0 you may not use this file except",
    "Redistribution and use in source and binary forms with or without modification are permitted",
)
FILES_PER_LANGUAGE, MUTATIONS_PER_FILE = 12, 15


class Program(NamedTuple):
    """A planted file: its licence header and its functions, as lines."""

    header: list[str]
    functions: list[list[str]]

    def text(self) -> bytes:
        lines = [*self.header, *(line for function in self.functions for line in function)]
        return "\n".join(lines).encode()


def name(rng: random.Random) -> str:
    return "".join(rng.choice(("ka", "lo", "mi", "ter", "sun", "vo", "ré")) for _ in range(4))


def statement(rng: random.Random, line: str, names: list[str], head: tuple[str, str]) -> str:
    chosen = {key: rng.choice(names) for key in "abcfg"}
    return line.format(
        head=head[0].format(**chosen), let=head[1], op=rng.choice("+-*/"), n=rng.randrange(1000),
        **chosen,
    )  # fmt: skip


def program(rng: random.Random, language: Language) -> Program:
    head = HEADS.get(language.name, ("", ""))
    first, inner, last, end = SHAPES.get(language.name, BRACES)
    names = [name(rng) for _ in range(30)]
    functions = [
        [
            statement(rng, line, names, head)
            for line in (first, *[inner] * rng.randint(2, 8), last, end)
        ]
        for _ in range(rng.randint(3, 25))
    ]
    return Program(header(rng, language), functions)


def header(rng: random.Random, language: Language) -> list[str]:
    mark = language.line_comment or (language.block_comment or ("",))[0]
    close = "" if language.line_comment else (language.block_comment or ("", ""))[1]
    lines = [f"Copyright {rng.randint(1990, 2026)} {name(rng)}", *rng.sample(LICENCES, 2)]
    return [f"{mark} {line} {close}" for line in lines]


def mutated(rng: random.Random, original: Program, language: Language) -> Program:
    functions = [list(function) for function in original.functions]
    lines = [(row, column) for row, f in enumerate(functions) for column in range(len(f))]
    top = original.header
    match rng.choice(("rename", "insert", "delete", "licence", "reorder", "all")):
        case "rename":
            words = sorted(
                {w for f in functions for line in f for w in re.findall(r"\w{8,}", line)}
            )
            table = {word: name(rng) for word in rng.sample(words, rng.randint(1, 3))}
            functions = [
                [re.sub(r"\w+", lambda m: table.get(m[0], m[0]), line) for line in f]
                for f in functions
            ]
        case "insert":
            for row, column in rng.sample(lines, rng.randint(1, len(lines) // 7)):
                functions[row][column] += f"\n{name(rng)} {name(rng)}({rng.randrange(99)})"
        case "delete":
            for row, column in rng.sample(lines, rng.randint(1, len(lines) // 7)):
                functions[row][column] = ""
        case "licence":
            top = header(rng, language)
        case "reorder":
            rng.shuffle(functions)
        case _:
            top = header(rng, language)
            rng.shuffle(functions)
            functions.pop()
    return Program(top, functions)


def planted(language: Language) -> list[bytes]:
    """Return the files of one language: originals, each followed by its mutations."""
    rng = random.Random(f"planted {language.name}")
    texts: list[bytes] = []
    for _ in range(FILES_PER_LANGUAGE):
        original = program(rng, language)
        family = [original, *(mutated(rng, original, language) for _ in range(MUTATIONS_PER_FILE))]
        texts += [each.text() for each in family]
    return texts


def similarities(texts: list[bytes]) -> dict[tuple[int, int], float]:
    """Return the exact Jaccard similarity of every pair that shares a shingle."""
    sets = []
    for text in texts:
        words = re.findall(rb"[A-Za-z0-9_\x80-\xff]+", text)
        sets.append({tuple(words[i : i + 5]) for i in range(len(words) - 4)})
    holders = defaultdict(list)
    for number, shingles in enumerate(sets):
        for shingle in shingles:
            holders[shingle].append(number)
    common: dict[tuple[int, int], int] = defaultdict(int)
    for numbers in holders.values():
        for pair in combinations(numbers, 2):
            common[pair] += 1
    return {(a, b): n / (len(sets[a]) + len(sets[b]) - n) for (a, b), n in common.items()}


def star_edges(bands: np.ndarray, compact: np.ndarray) -> pa.Table:
    """Return the candidates as the pipeline's query does: smallest id of a bucket to the others."""
    buckets = defaultdict(list)
    for number, row in enumerate(bands.tolist()):
        for band in row:
            buckets[band].append(number)
    edges = sorted({(rows[0], other) for rows in buckets.values() for other in rows[1:]})
    a, b = zip(*edges, strict=True)
    return edge_table(list(a), list(b), compact)


def edge_table(a: list[int], b: list[int], compact: np.ndarray) -> pa.Table:
    return pa.table({
        "a": pa.array(a, pa.int64()),
        "b": pa.array(b, pa.int64()),
        "signature_a": pa.array([compact[i].tobytes() for i in a], pa.binary()),
        "signature_b": pa.array([compact[i].tobytes() for i in b], pa.binary()),
    })  # fmt: skip


def clusters_of(edges: pa.Table) -> dict[int, int]:
    found = components(edges["a"].to_numpy(), edges["b"].to_numpy())
    return dict(zip(found.node.tolist(), found.root.tolist(), strict=True))


class Outcome(NamedTuple):
    """What was found in the planted files of one language."""

    exact: dict[tuple[int, int], float]
    pairs: list[tuple[int, int]]
    root: dict[int, int]


@cache
def outcome_of(language_name: str) -> Outcome:
    language = by_name(language_name)
    assert language is not None
    texts = planted(language)
    made = signatures(texts)
    assert made.present.all()
    edges = verified(star_edges(made.bands, made.compact))
    pairs = list(zip(edges["a"].to_pylist(), edges["b"].to_pylist(), strict=True))
    return Outcome(similarities(texts), pairs, clusters_of(edges))


@pytest.mark.slow
@pytest.mark.parametrize("language", [language.name for language in LANGUAGES])
def test_planted_near_duplicates_are_found_and_no_other_file_is_dropped(language: str) -> None:
    exact, pairs, root = outcome_of(language)
    alike = [pair for pair, jaccard in exact.items() if jaccard >= 0.8]
    found = [(a, b) for a, b in alike if a in root and root[a] == root.get(b)]
    assert len(alike) >= 150
    assert len(found) >= 0.95 * len(alike)

    nearest: dict[int, float] = defaultdict(float)
    for pair, jaccard in exact.items():
        for number in pair:
            nearest[number] = max(nearest[number], jaccard)
    dropped = [number for number, top in root.items() if number != top]
    right = [number for number in dropped if nearest[number] >= 0.7]
    assert len(dropped) >= 100
    assert len(right) >= 0.95 * len(dropped)
    near = sum(exact.get(pair, 0.0) >= 0.7 for pair in pairs)
    assert near >= 0.95 * len(pairs)
    # An estimate errs by 0.02, so a pair just below the threshold may pass; none far below does.
    assert min(exact.get(pair, 0.0) for pair in pairs) >= 0.65
    # No cluster joins mutations of two originals.
    family = MUTATIONS_PER_FILE + 1
    assert all(node // family == top // family for node, top in root.items())


def test_edges_whose_signatures_differ_are_taken_out_and_the_others_get_their_estimate() -> None:
    compact = np.zeros((3, 256), dtype=np.uint8)
    compact[1, :73] = 1  # 183 equal bytes of 256: 0.714 after the correction
    compact[2, :72] = 1  # 184 equal bytes: 0.718
    table = verified(edge_table([0, 0], [1, 2], compact))
    assert table.to_pylist() == [{"a": 0, "b": 2, "estimate": (184 - 1) / 255}]
    assert table.column_names == ["a", "b", "estimate"]


def test_a_table_without_edges_stays_one() -> None:
    table = verified(edge_table([], [], np.zeros((0, 256), dtype=np.uint8)))
    assert (table.num_rows, table.column_names) == (0, ["a", "b", "estimate"])


def test_a_lower_threshold_keeps_more_edges() -> None:
    compact = np.zeros((2, 256), dtype=np.uint8)
    compact[1, :128] = 1
    table = edge_table([0], [1], compact)
    assert [verified(table, threshold).num_rows for threshold in (0.48, 0.49)] == [1, 0]


def test_components_are_those_of_a_plain_union_find_whatever_the_order_of_the_edges() -> None:
    rng = random.Random(5)
    for size in (1, 2, 10, 300):
        edges = [(rng.randrange(size) * 7 - 9, rng.randrange(size) * 7 - 9) for _ in range(size)]
        parent = {node: node for edge in edges for node in edge}

        def top(node: int, parent: dict[int, int] = parent) -> int:
            while parent[node] != node:
                node = parent[node]
            return node

        for a, b in edges:
            low, high = sorted((top(a), top(b)))
            parent[high] = low
        expected = [(node, top(node)) for node in sorted(parent)]
        for _ in range(4):
            rng.shuffle(edges)
            edges = [pair if rng.random() < 0.5 else pair[::-1] for pair in edges]
            found = components(np.array([a for a, _ in edges]), np.array([b for _, b in edges]))
            assert list(zip(found.node.tolist(), found.root.tolist(), strict=True)) == expected


def test_a_long_chain_in_a_shuffled_order_is_one_component() -> None:
    order = list(range(50_000))
    random.Random(1).shuffle(order)
    found = components(np.array(order[:-1]), np.array(order[1:]))
    assert found.node.tolist() == list(range(50_000))
    assert not found.root.any()


def test_without_edges_there_are_no_components() -> None:
    none = np.zeros(0, dtype=np.int64)
    found = components(none, none)
    assert (found.node.tolist(), found.root.tolist()) == ([], [])
