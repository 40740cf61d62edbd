"""A page from a template, with nothing in it that it needs from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from fimble.pages.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2 import Environment


def render(
    package: str,
    values: Mapping[str, object],
    filters: Mapping[str, Callable[..., str]] | None = None,
) -> str:
    """Return the page of the template `page.html.j2`.

    The template puts `style`, `script` and `policy` where they belong; the policy lets nothing
    run and nothing load but these.

    Args:
        package: Where the template lies.
        values: What the template names.
        filters: Filters of the template besides those of this module.
    """
    style, script = resource("style.css"), resource("script.js")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    environment = _environment(package)
    environment.filters.update(filters or {})
    template = environment.get_template("page.html.j2")
    return template.render(values, style=style, script=script, policy=policy) + "\n"


def _environment(package: str) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {"count": count, "size": size, "percent": percent, "words": words}
    environment.filters.update(filters, visible=visible)
    return environment


_UNITS = ((1e3, "kB", 999.5e3), (1e6, "MB", 999.5e6), (1e9, "GB", float("inf")))


def count(number: int) -> str:
    """Return a number with separators."""
    return f"{number:,}"


def size(num_bytes: float) -> str:
    """Return bytes in decimal units with three digits or so."""
    if num_bytes < 1000:
        return f"{num_bytes:.0f} B"
    # The next unit begins where this one would be rounded to 1,000.
    scale, unit = next((s, u) for s, u, end in _UNITS if num_bytes < end)
    number = num_bytes / scale
    return f"{number:.1f} {unit}" if number < 99.95 else f"{number:,.0f} {unit}"


def percent(rate: float) -> str:
    """Return a share, 0 to 1, in percent; what is some is never shown as none or as all."""
    if 0 < rate < 0.0005:
        return "<0.1%"
    if 0.9995 <= rate < 1:
        return ">99.9%"
    is_extreme = 0 < rate < 0.0995 or 0.99 < rate < 1
    return f"{rate:.1%}" if is_extreme else f"{rate:.0%}"


def words(name: str) -> str:
    """Return the name of a stage or reason as words."""
    return visible(name.replace("_", " "))


def resource(name: str) -> str:
    """Return the text of the style sheet, `style.css`, or of the script, `script.js`."""
    return files("fimble.pages").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"sha256-{digest}"
