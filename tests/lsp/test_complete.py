"""`fimble complete`, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fimble.errors import InputError
from lsp_server.complete import Cursor, parse_cursor

if TYPE_CHECKING:
    from tests.stand_ins.tgi_app import TgiScript


def fimble(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fimble", "complete", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=60,
    )


def test_the_json_has_the_text_and_what_it_cost(
    environment: dict[str, str], tgi: TgiScript, tmp_path: Path
) -> None:
    path = tmp_path / "a:b.py"
    path.write_bytes(b"def add(a, b):\r\n\r\n")
    done = fimble(environment, f"{path}:2:1", "--json", "--tgi-url", tgi.url)
    answer = json.loads(done.stdout)
    assert 0 <= answer.pop("latency_ms") < 60_000
    assert answer == {
        "text": "    return a + b",
        "model": "scripted",
        "prompt_tokens": 6,
        "generated_tokens": 5,
        "finish_reason": "block",
    }
    assert (done.returncode, done.stderr) == (0, "")
    assert tgi.prompts == [
        "<|file_sep|>a:b.py\n<|fim_suffix|>\n<|fim_prefix|>def add(a, b):\n<|fim_middle|>"
    ]


def test_the_text_alone_has_the_line_ends_of_the_file(
    environment: dict[str, str], tgi: TgiScript, tmp_path: Path
) -> None:
    tgi.answer = lambda _: ["    a = '😀'", "\n", "    b", "\n", "\n", "\n"]
    path = tmp_path / "ü.py"
    path.write_bytes("if '😀':\r\n\r\n".encode())
    done = subprocess.run(
        [sys.executable, "-m", "fimble", "complete", f"{path}:2:1", "--tgi-url", tgi.url],
        capture_output=True,
        check=True,
        env={**os.environ, **environment},
    )
    assert done.stdout.decode() == "    a = '😀'\r\n    b\n"


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (b"x = 1\n", "3:1", "has 2 lines; line 3 was asked for"),
        (b"x = 1\n", "1:7", "has columns 1 to 6; column 7 was asked for"),
        (b"x = 1\n", "0:1", "it must be FILE:LINE:COLUMN with numbers from 1 on"),
        (b"x = 1\n", "1:-1", "it must be FILE:LINE:COLUMN with numbers from 1 on"),
        (b"\x7fELF\0\0", "1:1", "is not text in UTF-8"),
        (b"\xff\xfe", "1:1", "is not text in UTF-8"),
        (b"x" * 20_000_000, "1:1", "has 20000000 bytes; completion.max_document_bytes allows"),
        (None, "1:1", "No such file or directory"),
    ],
)
def test_a_place_that_is_none_is_one_message_and_exit_2(
    environment: dict[str, str], tmp_path: Path, content: bytes | None, place: str, message: str
) -> None:
    path = tmp_path / "module.py"
    if content is not None:
        path.write_bytes(content)
    done = fimble(environment, f"{path}:{place}", "--tgi-url", "http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("fimble: ")
    assert message in line


def test_a_folder_and_a_missing_model_are_one_message(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = fimble(environment, f"{tmp_path}:1:1")
    assert (done.returncode, done.stderr) == (2, f"fimble: {tmp_path} is not a file\n")
    path = tmp_path / "a.py"
    path.write_text("x = \n")
    done = fimble(environment, f"{path}:1:5", "--model", "no-such-model")
    assert done.returncode == 2
    assert done.stderr.startswith("fimble: there is no model folder 'no-such-model'")


def test_an_engine_that_does_not_answer_is_our_fault(
    environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "a.py"
    path.write_text("x = \n")
    done = fimble(environment, f"{path}:1:5", "--tgi-url", "http://127.0.0.1:9")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("fimble: no answer from http://127.0.0.1:9")


@pytest.mark.parametrize(
    "place", ["", "a.py", "a.py:1", ":1:1", "a.py:1:x", "a.py:١:1", f"a.py:1:{'9' * 5000}"]
)
def test_a_place_without_its_parts_is_refused(place: str) -> None:
    with pytest.raises(InputError, match="must be FILE:LINE:COLUMN"):
        parse_cursor(place)


def test_colons_in_file_names_are_kept() -> None:
    assert parse_cursor("C:\\a:b.py:12:3") == Cursor(Path("C:\\a:b.py"), 12, 3)


def test_code_of_the_project_goes_along_where_the_user_wants_it(
    environment: dict[str, str], tgi: TgiScript, tmp_path: Path
) -> None:
    project = tmp_path / "shop"
    (project / ".git").mkdir(parents=True)
    (project / "src").mkdir()
    (project / "src" / "till.py").write_text("def count_coins(till: list[int]) -> int:\n    pass\n")
    (project / ".env.py").write_text("def count_coins(password: str) -> int:\n    pass\n")
    path = project / "src" / "shop.py"
    path.write_text("from src.till import count_coins\n\nnum_coins = \n")
    place = f"{path}:3:13"

    fimble(environment, place, "--tgi-url", tgi.url)
    (tmp_path / "fimble.toml").write_text('[context]\nenabled = "on"\n')
    fimble(environment, place, "--tgi-url", tgi.url)

    alone, together = tgi.prompts
    assert alone.startswith("<|file_sep|>src/shop.py\n<|fim_suffix|>")
    head, _, rest = together.partition("<|file_sep|>src/shop.py\n")
    assert head.startswith("<|file_sep|>src/till.py\n")
    assert "def count_coins(till: list[int]) -> int:" in head
    assert "password" not in head
    assert rest == alone.removeprefix("<|file_sep|>src/shop.py\n")
