"""Which files of a workspace may go into prompts: git's rules, and no secrets."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from lsp_server.context.ignore import is_ignored, rules_in
from lsp_server.context.secret_files import is_secret
from lsp_server.context.walk import is_left_out, source_files

if TYPE_CHECKING:
    from pathlib import Path

ROOT_RULES = r"""# a comment
*.gen.py
!keep.gen.py
/only_root.py
docs/*.py
deep/**/far.py
**/any.py
gone/
b[ac]d.py
q?x.py
\#odd.py
space.py{blanks}
[!z]one.py
literal\*.py
st*r*e*.py
a/**
[z-a].py
""".replace("{blanks}", "   ")
INNER_RULES = "own.py\n!b.gen.py\n/anchored.py\n"
_LISTED = """x.gen.py keep.gen.py sub/y.gen.py only_root.py sub/only_root.py docs/a.py docs/in/a.py
deep/far.py deep/1/far.py deep/1/2/far.py any.py sub/any.py gone/x.py sub/gone/x.py bad.py bcd.py
bbd.py qax.py q/x.py #odd.py space.py none.py zone.py literal*.py literalx.py a/x.py a/b/x.py
sub/own.py own.py sub/b.gen.py sub/anchored.py sub/in/anchored.py sub/in/own.py ä😀.py gonex.py
stare.py sre.py strxe.py sub/streetre.py ste.py
"""
PATHS = _LISTED.split()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".gitignore").write_text(ROOT_RULES)
    for path in PATHS:
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("x = 1\n")
    (tmp_path / "sub" / ".gitignore").write_text(INNER_RULES)
    return tmp_path


def test_what_git_ignores_is_left_out(project: Path) -> None:
    subprocess.run(["git", "init", "-q", project], check=True)
    asked = subprocess.run(
        ["git", "-c", "core.quotePath=false", "-C", project, "check-ignore", "--stdin"],
        input="\n".join(PATHS),
        capture_output=True,
        text=True,
        check=True,
    )
    ignored = set(asked.stdout.splitlines())
    assert len(ignored) > 15
    found = {each.path for each in source_files(project, 1000) if each is not None}
    assert found == set(PATHS) - ignored
    assert {path for path in PATHS if is_left_out(project, path)} == ignored


def test_our_own_file_hides_more_and_can_show_what_git_ignores(project: Path) -> None:
    (project / ".fimbleignore").write_text("zone.py\n!x.gen.py\n")
    found = {each.path for each in source_files(project, 1000) if each is not None}
    assert "zone.py" not in found
    assert "x.gen.py" in found


def test_no_pattern_takes_long() -> None:
    pattern = "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b*c"
    rules = list(rules_in(f"{pattern}\n", ""))
    assert is_ignored("a" * 40 + "bc", rules, is_folder=False)
    assert not is_ignored("a" * 4000, rules, is_folder=False)
    assert list(rules_in("**/a/**/b/**/c/**/d/**/e\n", "")) == []


def test_a_folder_that_is_ignored_is_not_entered() -> None:
    rules = list(rules_in("build/\n", ""))
    assert is_ignored("build", rules, is_folder=True)
    assert not is_ignored("build", rules, is_folder=False)


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        "app/.env.local",
        "prod.env",
        "keys/server.PEM",
        "id_rsa",
        "id_ed25519.pub",
        ".npmrc",
        "secrets.py",
        "config/credentials.json",
        ".aws/config.py",
        "terraform.tfstate.backup",
    ],
)
def test_files_that_hold_secrets_are_known_by_their_names(path: str) -> None:
    assert is_secret(path)


@pytest.mark.parametrize(
    "path", ["environment.py", "keyboard.py", "fimble/secret_files.py", "env.py"]
)
def test_other_files_are_not(path: str) -> None:
    assert not is_secret(path)


def test_links_packages_of_others_and_unknown_languages_are_left_out(tmp_path: Path) -> None:
    for path in ("a.py", "node_modules/b.js", ".hidden/c.py", "d.bin", "e/f.go", "empty.py"):
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("" if path == "empty.py" else "x\n")
    (tmp_path / "link.py").symlink_to(tmp_path / "a.py")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "huge.py").write_text("x" * 200_000)
    found = [each.path for each in source_files(tmp_path, 1000) if each is not None]
    assert found == ["a.py", "e/f.go"]
    assert [each.path for each in source_files(tmp_path, 1) if each is not None] == ["a.py"]
    assert list(source_files(tmp_path / "missing", 10)) == [None]
