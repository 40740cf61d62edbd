"""Documents without completions: names, ignore files, secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fimble.settings import CompletionSettings
from lsp_server.decisions import Why
from lsp_server.documents import Document
from lsp_server.exclusions import Exclusions

if TYPE_CHECKING:
    from pathlib import Path


def why(exclusions: Exclusions, folder: str, name: str, language: str = "python") -> Why | None:
    document = Document.of(f"{folder}/{name}", language, 1, "x\n")
    return exclusions.why(document, [folder])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("src/a.py", None),
        (".env", Why.SECRET),
        ("deploy/.env.production", Why.SECRET),
        (".ssh/config", Why.SECRET),
        ("keys/id_rsa", Why.SECRET),
        ("tls/server.PEM", Why.SECRET),
        ("src/generated/é.py", Why.GLOB),
        ("docs/generated.py", None),
        ("a_pb2.py", Why.GLOB),
        ("deep/down/b_pb2.py", Why.GLOB),
    ],
)
def test_names_decide(name: str, expected: Why | None) -> None:
    settings = CompletionSettings(disabled_globs=("*_pb2.py", "src/generated/"))
    assert why(Exclusions(settings), "file:///p", name) is expected


def test_secret_files_are_completed_where_the_user_wants_it() -> None:
    assert why(Exclusions(CompletionSettings(in_secret_files=True)), "file:///p", ".env") is None


def test_languages_and_sizes_decide() -> None:
    settings = CompletionSettings(disabled_languages=("markdown",), max_document_bytes=1)
    assert why(Exclusions(settings), "file:///p", "a.py") is Why.TOO_LARGE
    settings = CompletionSettings(disabled_languages=("markdown",))
    assert why(Exclusions(settings), "file:///p", "a.md", "markdown") is Why.DISABLED


def test_the_ignore_file_of_each_workspace_folder_counts_for_its_own_files(tmp_path: Path) -> None:
    one, other = tmp_path / "one é", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    (one / ".fimbleignore").write_bytes(b"vendor/\r\n*.sql\r\n!keep.sql\r\n# \xff comment\r\n")
    folders = [one.as_uri(), other.as_uri(), "untitled:x", (tmp_path / "gone").as_uri()]
    exclusions = Exclusions(CompletionSettings())
    assert why(exclusions, folders[0], "vendor/a.py") is None  # not read yet
    exclusions.read(folders)
    assert why(exclusions, folders[0], "vendor/deep/a.py") is Why.IGNORED
    assert why(exclusions, folders[0], "db/a.sql") is Why.IGNORED
    assert why(exclusions, folders[0], "db/keep.sql") is None
    assert why(exclusions, folders[1], "vendor/deep/a.py") is None

    # Other settings do not open what is ignored until the files are read again.
    changed = exclusions.under(CompletionSettings(disabled_globs=("docs/",)))
    assert why(changed, folders[0], "vendor/deep/a.py") is Why.IGNORED
    assert why(changed, folders[0], "docs/a.py") is Why.GLOB
    assert why(exclusions, folders[0], "docs/a.py") is None
