"""Tokenizers of every form, and the command that compares them."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import gguf
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from fimble.cli import main
from fimble.errors import InputError
from training.vocabulary.alphabet import BYTES_OF_CHARS
from training.vocabulary.formats import byte_level, load, load_all
from training.vocabulary.ranks import merges_of
from training.vocabulary.splits import SPLIT_OF_RANKS, SPLITS, Split

ROOT = Path(__file__).parents[2]
HARD = (
    "def run(self, n=2048):\r\n\tif n >= 10_000:\n        return 'é漢🙂' # don't I'LL\n\n\n"
    "HTTPServer fooBar  =  x->y[0];\n}}\n\n  \n   end   \u00a0\u2028 \t "
)


def trained(split: Split, size: int = 700) -> Tokenizer:
    """Return a tokenizer with this split, learnt from our own sources."""
    tokenizer = byte_level({}, [], split)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [p.read_text(encoding="utf-8") for p in sorted((ROOT / "fimble").glob("*.py"))]
    tokenizer.train_from_iterator([*texts, HARD], trainer)
    return tokenizer


def write_gguf(path: Path, tokenizer: Tokenizer, *, pre: str, kind: str = "gpt2") -> Path:
    """Write the vocabulary of a tokenizer as llama.cpp keeps it."""
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(kind)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([*tokens, "<|end|>", "        "])
    types = [gguf.TokenType.NORMAL] * len(tokens)
    writer.add_token_types([*types, gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED])
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def ranks_of(tokenizer: Tokenizer) -> dict[bytes, int]:
    vocab = tokenizer.get_vocab()
    return {bytes(BYTES_OF_CHARS[char] for char in token): rank for token, rank in vocab.items()}


@pytest.mark.parametrize("pre", sorted(set(SPLITS) - {"llama-bpe", "llama3", "falcon3", "tekken"}))
def test_a_gguf_reads_as_the_tokenizer_that_it_was_made_of(pre: str, tmp_path: Path) -> None:
    tokenizer = trained(SPLITS[pre], size=400)
    read = load(write_gguf(tmp_path / "vocab.gguf", tokenizer, pre=pre))
    blanks = 8 * " "
    assert blanks not in HARD.replace(f"\n{blanks}", "")
    expected = tokenizer.encode(HARD.replace(blanks, "")).ids
    ids = read.encode(HARD, add_special_tokens=False).ids
    # A token of the user's own stands for itself, wherever it comes.
    assert ids.count(read.token_to_id(blanks)) == 1
    assert read.decode(ids) == HARD
    assert read.encode(HARD.replace(blanks, "")).ids == expected
    assert read.token_to_id("<|end|>") is None


def test_splits_differ_where_models_differ() -> None:
    def words(pre: str, text: str) -> list[str]:
        tokenizer = byte_level({}, [], SPLITS[pre])
        return [text[a:b] for _, (a, b) in tokenizer.pre_tokenizer.pre_tokenize_str(text)]

    text = "getHTTPName(x) == 2048;\n    don't"
    assert words("qwen2", text) == [
        "getHTTPName", "(x", ")", " ==", " ", "2", "0", "4", "8", ";\n", "   ", " don", "'t",
    ]  # fmt: skip
    assert words("llama-bpe", text)[4:7] == [" ", "204", "8"]
    assert words("gpt-4o", text)[:2] == ["get", "HTTPName"]
    assert words("gpt-2", text)[:2] == ["getHTTPName", "("]
    assert words("starcoder", text)[-4:] == [";", "\n   ", " don", "'t"]
    assert words("seed-coder", text)[-5:] == [";", "\n", "   ", " don", "'t"]
    assert words("deepseek-coder", text)[-5:] == ["\n", "   ", " don", "'", "t"]


def test_ranks_of_tiktoken_and_tekken_read_as_the_tokenizer_they_were_made_of(
    tmp_path: Path,
) -> None:
    tokenizer = trained(SPLITS["qwen2"])
    ranks = ranks_of(tokenizer)
    lines = [f"{base64.b64encode(token).decode()} {rank}" for token, rank in ranks.items()]
    (tmp_path / "qwen.tiktoken").write_text("\n".join(lines) + "\n")
    (pattern,) = SPLITS["qwen2"].patterns
    rows = [
        {"rank": rank, "token_bytes": base64.b64encode(token).decode()}
        for token, rank in sorted(ranks.items(), key=lambda item: item[1])
    ]
    config = {"pattern": pattern, "default_vocab_size": 703, "default_num_special_tokens": 3}
    (tmp_path / "mistral").mkdir()
    tekken = tmp_path / "mistral" / "tekken.json"
    tekken.write_text(json.dumps({"config": config, "vocab": [*rows, rows[0]]}))
    expected = tokenizer.encode(HARD).ids
    for path in (tmp_path / "qwen.tiktoken", tekken, tmp_path / "mistral"):
        assert load(path).encode(HARD).ids == expected


def test_merges_come_in_the_order_of_what_they_make() -> None:
    ranks = {b"a": 0, b"b": 1, b"c": 2, b"bc": 3, b"ab": 4, b"abc": 5}
    assert merges_of(ranks) == [(b"b", b"c"), (b"a", b"b"), (b"a", b"bc"), (b"ab", b"c")]


def test_all_splits_that_ranks_may_name_are_known() -> None:
    assert set(SPLIT_OF_RANKS.values()) <= set(SPLITS)


def test_names_are_those_of_files_or_folders_or_given(tokenizer_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "vocab-1k"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(tokenizer_path.read_bytes())
    named = load_all([str(folder), f"ours={folder}", f"again={folder / 'tokenizer.json'}"])
    assert [each.name for each in named] == ["vocab-1k", "ours", "again"]
    odd = tmp_path / "a=b.json"
    odd.write_bytes(tokenizer_path.read_bytes())
    assert load_all([str(odd)])[0].name == "a=b"
    with pytest.raises(InputError, match="two tokenizers are called vocab-1k"):
        load_all([str(folder), str(folder / "tokenizer.json")])


def word_level() -> str:
    unknown = "[UNK]"
    return Tokenizer(models.WordLevel({"a": 0, unknown: 1}, unk_token=unknown)).to_str()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.json", None, "No such file"),
        ("broken.json", b"{", "is not JSON"),
        ("list.json", b"[]", "it holds a list, not a table"),
        ("empty.json", b"", "is not JSON"),
        ("latin.json", b'{"\xe9": 1}', "is not JSON"),
        ("other.json", b'{"a": 1}', "it has no key `model`"),
        ("half.json", b'{"model": {"type": "BPE"}}', "cannot read the tokenizer"),
        ("words.json", word_level().encode(), "cannot stand for every text: it loses U+0061"),
        ("text.gguf", b"GGML is not GGUF at all", "cannot read"),
        ("short.gguf", b"GG", "cannot read"),
        ("cl100k_base.tiktoken", b"!!! 0\n", "cl100k_base.tiktoken:1: a line must be"),
        ("mine.tiktoken", b"YQ== 0\n", "nothing is known about mine; give the file the name"),
        ("gpt-2.tiktoken", b"YQ== 0\n", "cannot stand for every text"),
    ],
)
def test_a_file_that_is_no_tokenizer_is_one_message(
    name: str, content: bytes | None, says: str, tmp_path: Path, corpus: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert main(["vocab", "measure", str(path), "--on", str(corpus)]) == 2
    printed = capsys.readouterr()
    assert says in printed.err
    assert name in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_ggufs_of_other_kinds_are_one_message(tmp_path: Path) -> None:
    tokenizer = trained(SPLITS["qwen2"], size=300)
    with pytest.raises(InputError, match="a vocabulary of the kind llama"):
        load(write_gguf(tmp_path / "a.gguf", tokenizer, pre="default", kind="llama"))
    with pytest.raises(InputError, match="splits text as brew; known are codeshell"):
        load(write_gguf(tmp_path / "b.gguf", tokenizer, pre="brew"))


def test_a_folder_without_a_tokenizer_and_odd_numbers_are_one_message(
    tmp_path: Path, corpus: Path, tokenizer_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["vocab", "measure", str(tmp_path), "--on", str(corpus)]) == 2
    assert "there is no tokenizer in" in capsys.readouterr().err
    arguments = ["vocab", "measure", str(tokenizer_path), "--on", str(corpus)]
    assert main([*arguments, "--sample-bytes", "-1"]) == 2
    assert "--sample-bytes is -1; it must be 0 or more" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["vocab", "measure", "--on", str(corpus)])


class Page(HTMLParser):
    """What a page refers to, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in {"href", "src", "xlink:href"}]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_measure_prints_a_table_a_document_and_a_page(
    corpus: Path, tokenizer_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_gguf(tmp_path / "<b>other.gguf", trained(SPLITS["starcoder"]), pre="starcoder")
    page_path = tmp_path / "page.html"
    recipe = tmp_path / "model.toml"
    recipe.write_text('name = "m"\ncorpus = "c"\ntokenizer = "t"\n[model]\nhidden_size = 64\n')
    arguments = ["vocab", "measure", f"ours={tokenizer_path}", str(other), "--on", str(corpus)]
    arguments += ["--sample-bytes", "30000", "--bytes-per-language", "30000"]
    assert main([*arguments, "--json", "--report", str(page_path), "--model", str(recipe)]) == 0
    document = json.loads(capsys.readouterr().out)
    ours, theirs = document["tokenizers"]
    assert (ours["name"], ours["size"], theirs["name"]) == ("ours", 1024, "<b>other")
    python = ours["languages"]["python"]
    assert python["bytes_per_token"] == round(python["bytes"] / python["tokens"], 4)
    assert ours["bytes_per_token"] == ours["total_bytes_per_token"] == python["bytes_per_token"]
    assert (
        document["held_out"]["bytes"] == python["bytes"] == theirs["languages"]["python"]["bytes"]
    )
    assert python["restored"] == python["files"]
    assert all(ours["round_trip"].values())
    assert ours["tokens"]["special"] == 64
    assert ours["cost"]["num_embedding_parameters"] == 1024 * 64
    assert ours["megabytes_per_s"] > 0

    text = page_path.read_text(encoding="utf-8")
    page = Page(text)
    assert {"img", "link", "iframe", "b"}.isdisjoint(page.tags)
    assert all(link.startswith("#") for link in page.links)
    assert page.tags.count("svg") == 3
    script = text.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html.unescape(text)
    assert f"{python['bytes_per_token']:.3f}" in page.words
    assert "<b>other" in page.words
    assert not re.search(r"\{\{|\{%", text)

    assert main([*arguments, "--sample-bytes", "0"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["bytes", "per", "token", "ours", "<b>other"]
    assert table[1].split()[:2] == ["python", f"{python['bytes_per_token']:.3f}"]
    assert not [line for line in table if line.startswith("never")]
