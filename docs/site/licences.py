"""Whose work the editor install brings along: `THIRD_PARTY.md`, from what the packages say."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from docs.site.tables import table
from fimble.paths import SHIPPED_MODEL

OURS = "fimble"
_NAME = re.compile(r"[\w.-]+")
_SPDX = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD License": "BSD",
}
"""What packages write in place of an SPDX expression."""


def third_party_page() -> str:
    """Return the packages of `pip install fimble` with their licences, and the model's sources."""
    rows = [
        (d.name, d.version, licence(d), ", ".join(f"`{name}`" for name in _texts(d)))
        for d in sorted(brought(), key=lambda d: d.name.lower())
    ]
    listed = table("package", "version", "licence", "its text", rows=rows)
    return (
        "<!-- Written by `make reference` from the installed packages. -->\n\n"
        "# Third-party work\n\n"
        "Fimble itself is under Apache-2.0 (`LICENSE`). The editor install, `pip install fimble`,"
        " brings these packages, each with the text of its licence in the place named here within"
        " `site-packages`. The extras (`fimble[train]` and the like)"
        " bring more, which say theirs in the same way.\n\n"
        f"{listed}\n"
        f"The shipped model, `models/{SHIPPED_MODEL}`, was trained on source code of named"
        f" packages; [`ATTRIBUTION.md`](models/{SHIPPED_MODEL}/ATTRIBUTION.md) beside it lists each"
        " with its licence, and is part of every install.\n"
    )


def brought() -> list[Distribution]:
    """Return every package that the editor install needs, on this platform."""
    found: dict[str, Distribution] = {}
    waiting = [distribution(OURS)]
    while waiting:
        for requirement in waiting.pop().requires or []:
            wanted = _installed(requirement)
            if wanted is not None and wanted.name not in found:
                found[wanted.name] = wanted
                waiting.append(wanted)
    return list(found.values())


def _installed(requirement: str) -> Distribution | None:
    """Return what a requirement brings; None for extras and for other platforms."""
    name, _, marker = requirement.partition(";")
    match = _NAME.match(name)
    if match is None or re.search(r"\bextra\s*==|sys_platform|platform_system", marker):
        return None
    try:
        return distribution(match[0])
    except PackageNotFoundError:  # for older interpreters
        return None


def licence(package: Distribution) -> str:
    """Return the licence of a package as it says it, by its SPDX name where we know that."""
    data = package.metadata
    said = [*(data.get_all("License-Expression") or []), *(data.get_all("License") or [])]
    written = next(iter(said), "")
    if not written or len(written) > 60 or "\n" in written:
        classes = [c for c in data.get_all("Classifier") or [] if c.startswith("License ::")]
        written = classes[0].rpartition(" :: ")[2] if classes else "not said"
    return _SPDX.get(written, written)


def _texts(package: Distribution) -> list[str]:
    """Return the files that hold the licence."""
    paths = [Path(str(file)) for file in package.files or []]
    texts = [p for p in paths if re.match(r"(?i)licen[cs]e|copying|notice", p.name)]
    return [path.as_posix() for path in texts if path.suffix != ".py"][:2]
