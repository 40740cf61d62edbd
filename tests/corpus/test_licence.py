"""The licence gate: only what asks for no more than attribution passes."""

from __future__ import annotations

import pytest

from training.corpus.licence import is_permissive, licence_of, reason_to_drop

GPL_NOTICE = """/*
 * This program is free software: you can redistribute it and/or modify
 * it under the terms of the GNU General
 * Public License as published by the Free Software Foundation.
 */
int main(void) { return 0; }
"""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-2.0-only", True),
        ("MIT AND GPL-2.0-only", False),
        ("(MIT OR GPL-2.0-only) AND BSD-3-Clause", True),
        ("GPL-2.0-only OR (MIT AND MPL-2.0)", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("Apache-2.0 WITH Commons-Clause", False),
        ("MIT or Apache-2.0", True),
        ("", False),
        ("(MIT", False),
        ("MIT)", False),
        ("MIT GPL-3.0-only", False),
        ("MIT OR", False),
        ("mit", True),
        ("GPL-2.0+ OR isc", True),
        ("MIT AND (Zlib OR GPL-2.0) AND BSD-2-Clause", True),
        ("LicenseRef-Ours OR MIT", True),
        ("LicenseRef-Ours AND MIT", False),
        ("🙂", False),
        ("(" * 3000, False),
        (" OR ".join(["GPL-2.0-only"] * 500), False),
        ("MIT AND", False),
        ("SEE LICENSE IN LICENSE.txt", False),
        ("MIT, I think", False),
    ],
)
def test_an_expression_passes_only_if_it_is_permissive(expression: str, *, expected: bool) -> None:
    assert is_permissive(expression) is expected


def test_the_recipe_says_which_licences_pass() -> None:
    ours = frozenset({"LicenseRef-Ours", "MPL-2.0"})
    assert is_permissive("LicenseRef-Ours AND mpl-2.0", ours)
    assert not is_permissive("MIT", ours)
    assert reason_to_drop("x = 1\n", "MPL-2.0", ours) is None
    assert reason_to_drop("x = 1\n", "MIT", ours) == "not_permissive"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("# SPDX-License-Identifier: ISC\n", "ISC"),
        ("/* SPDX-License-Identifier: GPL-2.0-only */\n", "GPL-2.0-only"),
        ("// SPDX-License-Identifier: (MIT OR GPL-2.0)\n", "(MIT OR GPL-2.0)"),
        ('"""SPDX-License-Identifier: Zlib"""\n', "Zlib"),
        ("<!-- SPDX-License-Identifier: MIT -->\n", "MIT"),
        ("# no such line\n", "Apache-2.0"),
        ("", "Apache-2.0"),
        (f"# {'🙂' * 2100}\n# SPDX-License-Identifier: ISC\n", "Apache-2.0"),
    ],
)
def test_a_file_s_own_spdx_line_goes_before_the_package(header: str, expected: str) -> None:
    assert licence_of(header + "x = 1\n", "Apache-2.0") == expected


def test_a_copyleft_notice_drops_a_file_of_a_permissive_package() -> None:
    assert reason_to_drop(GPL_NOTICE, "MIT") == "copyleft_notice"


def test_an_spdx_line_settles_a_choice_that_the_notice_leaves_open() -> None:
    text = "// SPDX-License-Identifier: MIT OR GPL-2.0-only\n" + GPL_NOTICE
    assert reason_to_drop(text, licence_of(text, "MIT")) is None


def test_a_copyleft_notice_deep_in_a_file_is_content() -> None:
    text = "int a;\n" * 1000 + GPL_NOTICE
    assert reason_to_drop(text, "MIT") is None


def test_an_unknown_licence_never_passes() -> None:
    assert reason_to_drop("x = 1\n", "LicenseRef-Ours") == "not_permissive"
