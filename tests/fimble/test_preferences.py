"""Examples for preference tuning: what is written is read again, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fimble.errors import InputError, SentinelInTextError
from fimble.fim import FORMATS, Mark, Snippet
from fimble.preferences import (
    Asked,
    Label,
    Maker,
    Origin,
    Pair,
    Split,
    Why,
    read_examples,
    to_table,
    write_examples,
)

if TYPE_CHECKING:
    from pathlib import Path

ASKED = Asked.of(
    FORMATS["fimble"],
    prefix="def f():\n    ",
    suffix="\nprint('😀')\n",
    path="a/b.py",
    snippets=(Snippet(path="c.py", text="x = 1\r\n"),),
)
ORIGIN = Origin(
    weight=0.5,
    maker=Maker.USER,
    why=Why.REWRITTEN,
    split=Split.TRAIN,
    owner="u1",
    example_id="c1",
    language="python",
    model="m",
    model_digest="0123",
    visible_ms=900,
    kept_rate=None,
)
PAIR = Pair(asked=ASKED, chosen="return 1", rejected="pass\u2028\x00", origin=ORIGIN)
LABEL = Label(asked=ASKED, completion="", label=False, origin=ORIGIN)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "e.jsonl"
    write_examples(path, [PAIR, PAIR])
    assert list(read_examples(Pair, path)) == [PAIR, PAIR]
    write_examples(path, [LABEL])
    assert list(read_examples(Label, path)) == [LABEL]
    write_examples(path, [])
    assert list(read_examples(Label, path)) == []


def test_trainers_find_their_columns_first() -> None:
    assert list(to_table(PAIR))[:3] == ["prompt", "chosen", "rejected"]
    assert list(to_table(LABEL))[:3] == ["prompt", "completion", "label"]
    assert to_table(PAIR)["snippets"] == [{"path": "c.py", "text": "x = 1\r\n"}]


def test_a_question_knows_its_parts_in_every_layout() -> None:
    assert ASKED.prompt == (
        "<|file_sep|>c.py\nx = 1\r\n<|file_sep|>a/b.py\n"
        "<|fim_suffix|>\nprint('😀')\n<|fim_prefix|>def f():\n    <|fim_middle|>"
    )
    expected = (Mark.PREFIX, ASKED.prefix, Mark.SUFFIX, ASKED.suffix, Mark.MIDDLE)
    assert ASKED.parts(FORMATS["deepseek"]) == expected
    spelled = replace(ASKED, prefix="'<|fim_pad|>'")
    assert "'<|fim_pad|>'" in spelled.parts(FORMATS["fimble"])
    with pytest.raises(SentinelInTextError):
        Asked.of(FORMATS["fimble"], prefix=spelled.prefix, suffix="")


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "weight 0": ({"weight": 0}, "weight is 0; it must be above 0"),
    "weight nan": ({"weight": float("nan")}, "weight is nan; it must be float"),
    "bool": ({"after_s": True}, "after_s is True"),
    "null": ({"chosen": None}, "chosen is None; it must be str"),
    "word": ({"maker": "somebody"}, "maker is 'somebody'; it must be one of user, truth, tests"),
    "unhashable": ({"why": []}, "why is \\[\\]; it must be one of"),
    "snippets": ({"snippets": [{"path": 1, "text": ""}]}, "a list of path and text"),
    "no snippets": ({"snippets": None}, "a list of path and text"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_column_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    change, message = WRONG[name]
    path = tmp_path / "e.jsonl"
    lines = [to_table(PAIR), to_table(PAIR) | change]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with pytest.raises(InputError, match=f"e.jsonl:2: .*{message}"):
        list(read_examples(Pair, path))


@pytest.mark.parametrize(
    "line", [b"[1]\n", b"{\n", b"\xff\n", b"[" * 100_000, b"{}\n"], ids=range(5)
)
def test_a_line_that_is_no_example_is_refused(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(line)
    with pytest.raises(InputError, match=r"e\.jsonl:1: "):
        list(read_examples(Label, path))


def test_half_of_a_pair_is_refused_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    write_examples(path, [PAIR])
    with pytest.raises(InputError, match="not Unicode"):
        write_examples(path, [replace(PAIR, chosen="\ud800")])
    assert list(read_examples(Pair, path)) == [PAIR]
    with pytest.raises(InputError, match="cannot read examples"):
        list(read_examples(Pair, tmp_path / "no"))
