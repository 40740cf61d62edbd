"""Imports are read from text and found among the paths of a project."""

from __future__ import annotations

import pytest

from fimble.languages import LANGUAGES
from fimble.snippets.imports import MAX_IMPORTS, Import, imports_of
from fimble.snippets.places import Places, is_test, key_of, source_stem

CASES = [
    ("python", "app/main.py", "from app.shop import Shop\n", ["app/shop.py"]),
    (
        "python",
        "app/main.py",
        "from .shop import (\n    Shop,  # it\n    Till as T,\n)",
        ["app/shop.py"],
    ),
    ("python", "app/deep/x.py", "from ..shop import Shop", ["app/shop.py"]),
    ("python", "app/main.py", "from . import shop", ["app/__init__.py", "app/shop.py"]),
    ("python", "app/main.py", "from app import shop, nothing", ["app/__init__.py", "app/shop.py"]),
    ("python", "app/main.py", "import app.shop as s, os", ["app/shop.py"]),
    ("python", "lib/main.py", "import project.app.shop", ["app/shop.py"]),
    ("python", "src/pkg/a.py", "from pkg.b import x", ["src/pkg/b.py"]),
    ("python", "app/main.py", "import types", []),
    ("typescript", "web/a.ts", 'import { B, type C } from "./b";', ["web/b.ts"]),
    ("typescript", "web/a.ts", 'export * from "../lib/index.js"', ["lib/index.ts"]),
    ("typescript", "web/deep/a.ts", 'import x from "@/web/b"', ["web/b.ts"]),
    ("javascript", "web/a.js", 'const b = require("./b")', ["web/b.ts"]),
    ("typescript", "web/a.ts", 'import React from "react"', []),
    ("java", "src/a/b/M.java", "import a.c.Other;\n", ["src/a/c/Other.java", "src/a/b/N.java"]),
    (
        "java",
        "src/a/b/M.java",
        "import static a.c.Other.go;",
        ["src/a/c/Other.java", "src/a/b/N.java"],
    ),
    ("java", "src/a/b/M.java", "import a.c.*;", ["src/a/c/Other.java", "src/a/b/N.java"]),
    ("go", "cmd/main.go", 'import (\n\t"fmt"\n\ts "git.host/x/y/shop"\n)\n', ["shop/shop.go"]),
    ("rust", "src/main.rs", "use crate::shop::{Shop, self};", ["src/shop.rs"]),
    ("rust", "src/shop.rs", "mod till;", ["src/shop/till.rs"]),
    ("rust", "src/shop/till.rs", "use super::drawer::Drawer;", ["src/shop/drawer.rs"]),
    ("rust", "src/main.rs", "use std::fmt::Display;", []),
    ("c", "src/a.c", '#include "a.h"\n#include <stdio.h>\n', ["src/a.h"]),
    ("cpp", "src/a.cc", "#include <proj/b.hpp>", ["include/proj/b.hpp"]),
    ("php", "src/A.php", "use App\\Store\\Shop;", ["src/Store/Shop.php"]),
    ("ruby", "lib/a.rb", 'require_relative "store/shop"', ["lib/store/shop.rb"]),
    ("lua", "a.lua", 'local s = require("store.shop")', ["store/shop.lua"]),
    ("bash", "bin/a.sh", 'source "$HERE/shop.sh"', ["bin/shop.sh"]),
]
PATHS = {
    "python": "app/__init__.py app/main.py app/shop.py app/deep/x.py src/pkg/a.py src/pkg/b.py "
    "other/types.py tests/test_shop.py",
    "typescript": "web/a.ts web/b.ts lib/index.ts web/b.test.ts",
    "java": "src/a/b/M.java src/a/b/N.java src/a/c/Other.java",
    "go": "cmd/main.go shop/shop.go shop/shop_test.go fmt/fmt.go",
    "rust": "src/main.rs src/shop.rs src/shop/till.rs src/shop/drawer.rs",
    "c": "src/a.c src/a.h include/proj/b.h",
    "cpp": "src/a.cc include/proj/b.hpp",
    "php": "src/A.php src/Store/Shop.php",
    "ruby": "lib/a.rb lib/store/shop.rb",
    "lua": "a.lua store/shop.lua",
    "bash": "bin/a.sh bin/shop.sh",
}


def places() -> Places:
    found = Places()
    for language, paths in PATHS.items():
        for path in paths.split():
            found.put(path, language)
    return found


@pytest.mark.parametrize(("language", "path", "text", "files"), CASES)
def test_an_import_is_found_by_its_path(
    language: str, path: str, text: str, files: list[str]
) -> None:
    known = places()
    found = [
        file
        for each in imports_of(text, language)
        for file in known.resolve(each, path=path, language=language)
    ]
    assert list(dict.fromkeys(found)) == files


def test_an_import_says_what_it_takes() -> None:
    (first, *_) = imports_of("from a.b import Cat as C, (Dog)\n", "python")
    assert first == Import(("a", "b"), names=("Cat",))
    assert imports_of("import {A, B as C} from './x'", "tsx")[0].names == ("A", "B", "C")


@pytest.mark.parametrize("language", [*sorted(row.name for row in LANGUAGES), "", "unknown"])
@pytest.mark.parametrize(
    "text", ["", "import", "use ;", 'from "', "#include", "😀\ud800", "use {" * 99]
)
def test_what_is_unfinished_is_no_trouble(language: str, text: str) -> None:
    known = places()
    for each in imports_of(text, language):
        assert known.resolve(each, path="src/none.x", language=language) == [] or each.is_folder


def test_no_more_than_some_imports_are_read() -> None:
    text = "".join(f"import module_{n}\n" for n in range(900))
    assert len(imports_of(text, "python")) == MAX_IMPORTS


def test_what_is_dropped_is_not_found() -> None:
    known = places()
    known.drop("app/shop.py")
    known.drop("app/shop.py")
    (imported,) = imports_of("import app.shop", "python")
    assert known.resolve(imported, path="app/main.py", language="python") == ["app/__init__.py"]


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("tests/test_shop.py", "shop"),
        ("shop/shop_test.go", "shop"),
        ("src/ShopTest.java", "Shop"),
        ("web/b.test.ts", "b"),
        ("web/b.ts", None),
        ("contest.py", None),
    ],
)
def test_a_test_is_known_by_its_name(path: str, stem: str | None) -> None:
    assert source_stem(key_of(path)[-1]) == stem
    assert is_test(path) == (stem is not None)
