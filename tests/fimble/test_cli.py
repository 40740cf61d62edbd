"""The `fimble` command as a process: exit codes, one message, no traceback."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fimble import errors
from fimble.cli import VERBS
from fimble.events import (
    EVENT_KINDS,
    AcceptKind,
    Envelope,
    Outcome,
    Resolved,
    Source,
    field_types,
    to_record,
)

ROOT = Path(__file__).parents[2]


def fimble(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command, with `code` executed first in its interpreter."""
    start = f"{code}\nimport sys; from fimble.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", start, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "required: COMMAND"),
        (("brew",), "invalid choice: 'brew'"),
        (("-x",), "required: COMMAND"),
        (("",), "invalid choice: ''"),
        (("telemetry", "sql", "select 1", "--format", "🙂"), "invalid choice: '🙂'"),
    ],
)
def test_a_wrong_call_ends_with_code_2_and_one_message(
    arguments: tuple[str, ...], message: str
) -> None:
    result = fimble(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_version_and_help_go_to_standard_output() -> None:
    assert fimble("--version").stdout.startswith("fimble ")
    shown = fimble("--help")
    assert shown.returncode == 0
    assert all(f"\n    {name}" in shown.stdout for name in VERBS)


def test_a_missing_extra_is_named_with_the_line_that_installs_it() -> None:
    result = fimble("telemetry", "sql", "select 1", code="import sys; sys.modules['duckdb'] = None")
    assert result.returncode == 2
    assert result.stderr == (
        "fimble: `fimble telemetry` needs the package duckdb, which is not installed; "
        "install the extra: pip install 'fimble[analyst]'\n"
    )


def test_an_extra_that_is_missing_late_is_named_too() -> None:
    """Training imports its libraries when it begins."""
    hidden = "import sys; sys.modules['trl'] = None; sys.modules['datasets'] = None"
    result = fimble("tune", "sft", "x.toml", "--out", "y", code=hidden)
    assert result.returncode == 2
    assert result.stderr.endswith("install the extra: pip install 'fimble[train]'\n")


def test_notebooks_have_an_extra_of_their_own() -> None:
    code = "import sys; sys.modules['marimo'] = None"
    result = fimble("telemetry", "ui", "--no-browser", code=code)
    assert result.returncode == 2
    assert result.stderr.endswith("install the extra: pip install 'fimble[ui]'\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (name, 2 if issubclass(kind, errors.InputError) else 1)
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and name != "FimbleError"
    ],
)
def test_each_error_on_purpose_has_its_exit_code(error: str, code: int) -> None:
    raising = (
        "import sys, types; from fimble import errors; "
        "command = types.ModuleType('telemetry.command'); "
        "command.add_arguments = lambda parser: None\n"
        f"def run(arguments): raise errors.{error}('what, got, allowed, where')\n"
        "command.run = run; sys.modules['telemetry.command'] = command"
    )
    result = fimble("telemetry", code=raising)
    assert (result.returncode, result.stderr) == (code, "fimble: what, got, allowed, where\n")


def test_a_place_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "code").mkdir()
    out = tmp_path / "file" / "out"
    result = fimble(
        *("corpus", "build", "--source", str(tmp_path / "code"), "--licence", "MIT"),
        *("--out", str(out)),
    )
    assert (result.returncode, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert line == f"fimble: [Errno 20] Not a directory: '{out / 'stages'}'"


def test_an_error_of_the_system_that_we_do_not_expect_keeps_its_traceback() -> None:
    code = "import fimble.cli as c; c._run = lambda _: open('/nowhere/at/all')"
    result = fimble("doctor", code=code)
    assert result.returncode == 1
    assert "FileNotFoundError" in result.stderr


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    names = {n for n, kind in vars(errors).items() if isinstance(kind, type)}
    assert errors.__doc__ is not None
    assert {name for name in names if name in errors.__doc__} == names
    assert all(issubclass(getattr(errors, name), errors.FimbleError) for name in names)


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"set -o pipefail; {sys.executable} -m fimble --help | head -c 0"
    result = subprocess.run(["bash", "-c", command], capture_output=True, check=False, timeout=60)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_a_module_that_is_a_command(name: str) -> None:
    path = ROOT / f"{VERBS[name].module.replace('.', os.sep)}.py"
    functions = {
        node.name: len(node.args.args)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert {key: functions.get(key) for key in ("add_arguments", "run")} == {
        "add_arguments": 1,
        "run": 1,
    }


def test_an_event_is_one_flat_object_of_plain_values() -> None:
    envelope = Envelope(session_id="s", seq=3, ts_wall_ms=5, ts_mono_ms=1.5)
    event = Resolved(
        completion_id="c",
        outcome=Outcome.REJECTED,
        source=Source.INFERRED,
        visible_ms=2.5,
        accepted_chars=0,
        accepted_lines=0,
        typed_chars=1,
        accept_kind=AcceptKind.NONE,
        num_accepts=0,
    )
    assert to_record(event, envelope) == {
        "v": 3,
        "ev": "resolved",
        "session_id": "s",
        "seq": 3,
        "ts_wall_ms": 5,
        "ts_mono_ms": 1.5,
        "completion_id": "c",
        "outcome": "rejected",
        "source": "inferred",
        "visible_ms": 2.5,
        "accepted_chars": 0,
        "accepted_lines": 0,
        "typed_chars": 1,
        "accept_kind": "none",
        "num_accepts": 0,
    }
    assert field_types(Resolved)["accepted_chars"] == "int"
    assert field_types(Resolved)["visible_ms"] == "float"
    assert field_types(Resolved)["outcome"] == "str"


def test_a_field_has_one_type_in_all_kinds_of_events() -> None:
    types: dict[str, set[str]] = {}
    for kind in EVENT_KINDS:
        for name, plain in field_types(kind).items():
            types.setdefault(name, set()).add(plain)
    assert {name: plain for name, plain in types.items() if len(plain) > 1} == {}
    assert importlib.import_module("fimble.events").SCHEMA_VERSION == 3
