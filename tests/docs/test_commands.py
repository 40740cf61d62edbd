"""Every command in README and docs exists, with every option that it is called with."""

import argparse
import re
import shutil
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from docs.site.blocks import ROOT, Block, Call, blocks, call, commands, pages
from docs.site.parsers import root

PAGES = pages()
OF_THE_SYSTEM = frozenset(
    {
        "cat",
        "cd",
        "cp",
        "curl",
        "export",
        "find",
        "git",
        "kill",
        "ls",
        "mkdir",
        "rm",
        "sleep",
        "unzip",
    }
)
OF_OTHERS = "not run"
"""Programs that are not ours may stand in a block that is not executed, and says why."""


class WrongCallError(Exception):
    """A command in a document cannot be called like that."""


def refuse(parser: argparse.ArgumentParser, message: str) -> None:
    raise WrongCallError(f"{parser.prog}: {message}")


def check_fimble(arguments: list[str]) -> None:
    if arguments in (["--version"], ["--help"]) or arguments[-1:] == ["--help"]:
        return
    try:
        root().parse_args(arguments)
    except SystemExit:
        raise WrongCallError(f"fimble {' '.join(arguments)}") from None


def check_python(arguments: list[str]) -> None:
    """Look for the module and, since few modules can be imported here, for its options in it."""
    if arguments[:2] == ["-m", "venv"] or arguments[:1] == ["-c"]:
        return
    is_module = arguments[0] == "-m"
    name = arguments[1].replace(".", "/") if is_module else arguments[0].removesuffix(".py")
    sources = [ROOT / f"{name}.py", ROOT / name / "__main__.py"]
    source = next((path for path in sources if path.exists()), None)
    if source is None:
        raise WrongCallError(f"no module {name}")
    beside = "".join(path.read_text() for path in source.parent.glob("*.py"))
    for option in (word.partition("=")[0] for word in arguments if word.startswith("--")):
        if f'"{option}"' not in beside:
            raise WrongCallError(f"{name} has no option {option}")


@cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def check_make(arguments: list[str]) -> None:
    missing = {word for word in arguments if "=" not in word} - targets()
    if missing:
        raise WrongCallError(f"make has no target {missing}")


@cache
def extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["optional-dependencies"])


def check_pip(arguments: list[str]) -> None:
    wanted = re.findall(r"(?:fimble|\.|\.whl)\[([\w,-]+)\]", " ".join(arguments))
    missing = {extra for each in wanted for extra in each.split(",")} - extras()
    if missing:
        raise WrongCallError(f"the package has no extra {missing}")


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "fimble": check_fimble,
    "python": check_python,
    "make": check_make,
    "pip": check_pip,
    "pipx": check_pip,
}


def check(block: Block, made: Call) -> None:
    program = Path(made.program).name
    if program == "torchrun":
        program, made = "python", Call("python", made.arguments[made.arguments.index("-m") :])
    if program in CHECKS:
        CHECKS[program](made.arguments)
    elif program not in OF_THE_SYSTEM and not block.not_run:
        raise WrongCallError(f"{program} is no program of ours, and the block is executed")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_in_documents_exist_with_their_options(page: Path) -> None:
    wrong = []
    for block in blocks(page):
        for command in commands(block.text) if block.is_shell else ():
            made = call(command)
            try:
                if made:
                    check(block, made)
            except WrongCallError as error:
                wrong.append(f"{page}:{block.line}: {error}")
    assert wrong == []


def test_commands_stand_in_blocks_that_say_so() -> None:
    """Else nobody would look at them."""
    found = [block for page in PAGES for block in blocks(page)]
    unmarked = [b for b in found if b.looks_like_shell and not b.is_shell]
    assert [f"{b.path}:{b.line}: {b.text.splitlines()[0]}" for b in unmarked] == []
    assert sum(block.is_shell for block in found) > 20


def test_a_wrong_command_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    block = Block(Path("x.md"), 1, "sh", "", "", ())
    for text in (
        "fimble complete --jsn x.py:1:1",
        "fimble brew",
        "fimble telemetry metric acceptance_rate --by 🙂 --frmt csv",
        "python -m bench.nothing",
        "python bench/keystrokes.py --liness 6",
        "make tests",
        "pip install 'fimble[trainn]'",
        "vllm serve x",
    ):
        made = call(text)
        assert made is not None
        with pytest.raises(WrongCallError):
            check(block, made)


def test_scripts_are_split_as_a_shell_would() -> None:
    script = "# all\na 'x; y' # b\nB=1 c --d \\\n  'e\nf' | g > h\n\nX=2; i && j 'é🙂 #'\r\n"
    assert [call(text) for text in commands(script)] == [
        ("a", ["x; y"]),
        ("c", ["--d", "e\nf"]),
        ("g", []),
        None,
        ("i", []),
        ("j", ["é🙂 #"]),
    ]
    assert commands("") == []
    assert len(commands("fimble doctor\n" * 20_000)) == 20_000
    assert shutil.which("sh")
