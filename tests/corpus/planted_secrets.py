"""Planted secrets and private data: seeded generators, spelt as each language does.

Values are put together from parts, so that no file of ours holds one that looks alive.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

ALNUM = string.ascii_letters + string.digits
UPPER = string.ascii_uppercase + string.digits
LOWER = string.ascii_lowercase + string.digits
HEX = "0123456789abcdef"
URL64 = ALNUM + "-_"


def draw(rng: random.Random, alphabet: str, length: int) -> str:
    """Return random text."""
    return "".join(rng.choice(alphabet) for _ in range(length))


def _aws_id(rng: random.Random) -> str:
    return rng.choice(("AK", "AS")) + "IA" + draw(rng, string.ascii_uppercase + "234567", 16)


def _mixed(rng: random.Random, length: int) -> str:
    """Return random text as key generators give it: with both cases and digits."""
    return draw(rng, ALNUM, length - 6) + "a7Q9x2"


def _jwt(rng: random.Random) -> str:
    return f"ey{'J'}hbGciOiJIUzI1NiJ9.ey{'J'}{draw(rng, URL64, 40)}.{draw(rng, URL64, 43)}"


def _password(rng: random.Random) -> str:
    return "".join((draw(rng, ALNUM, 4), rng.choice("!*+~^"), draw(rng, ALNUM, 6), "8zK"))


def _email(rng: random.Random) -> str:
    user = draw(rng, string.ascii_lowercase, 1) + draw(rng, LOWER + "._", 6) + "n"
    tld = rng.choice(("com", "org", "de", "co.uk", "io", "net", "fr", "edu", "com.br", "dev"))
    return f"{user}@{draw(rng, string.ascii_lowercase, 7)}.{tld}"


def _ipv4(rng: random.Random) -> str:
    first = rng.choice((23, 34, 45, 52, 66, 81, 93, 104, 139, 151, 185, 194, 212))
    return f"{first}.{rng.randint(16, 253)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"


def _ipv6(rng: random.Random) -> str:
    head = rng.choice(("2a00", "2a01", "2400", "2607", "2620", "2804"))
    groups = ":".join(f"{rng.randint(1, 0xFFFF):x}" for _ in range(rng.choice((2, 3, 4))))
    return f"{head}:{groups}::{rng.randint(1, 0xFFFF):x}"


SECRETS: dict[str, Callable[[random.Random], str]] = {
    "aws_id": _aws_id,
    "aws_secret": lambda rng: draw(rng, ALNUM + "+", 34) + "a7Q9x2",
    "github": lambda rng: rng.choice(("ghp", "gho", "ghs")) + "_" + draw(rng, ALNUM, 36),
    "gitlab": lambda rng: "gl" + "pat-" + draw(rng, ALNUM, 20),
    "slack": lambda rng: "-".join(
        (
            "xo" + "xb",
            draw(rng, string.digits, 12),
            draw(rng, string.digits, 12),
            draw(rng, ALNUM, 24),
        )
    ),
    "stripe": lambda rng: "sk" + "_live_" + draw(rng, ALNUM, 24),
    "google": lambda rng: "AI" + "za" + draw(rng, ALNUM, 35),
    "openai": lambda rng: (
        "sk" + "-" + draw(rng, ALNUM, 20) + "T3Blbk" + "FJ" + draw(rng, ALNUM, 20)
    ),
    "openai_project": lambda rng: "sk" + "-proj-" + draw(rng, URL64, 47) + "Z",
    "anthropic": lambda rng: "sk" + "-ant-api03-" + draw(rng, URL64, 93) + "AA",
    "jwt": _jwt,
    "npm": lambda rng: "np" + "m_" + draw(rng, ALNUM, 36),
    "pypi": lambda rng: "py" + "pi-AgEIcHlwaS5vcmc" + draw(rng, URL64, 70) + "Q",
    "generic": lambda rng: _mixed(rng, rng.choice((24, 32, 40, 48))),
    "generic_hex": lambda rng: draw(rng, HEX, rng.choice((32, 40, 64))),
    "password": _password,
}
"""Kind to generator, of values that are assigned to a name."""

NAMES = {
    "aws_secret": ("aws_secret_access_key", "SecretAccessKey"),
    "generic": ("api_key", "clientSecret", "auth_token", "ACCESS_KEY", "dbPassword"),
    "generic_hex": ("api_key", "auth_token", "clientToken"),
    "password": ("password", "DB_PASSWORD", "userPasswd"),
}
"""Names of variables where only the name tells; the other kinds are found under any name."""

ADDRESSES: dict[str, Callable[[random.Random], str]] = {
    "email": _email,
    "ipv4": _ipv4,
    "ipv6": _ipv6,
}

ASSIGNMENTS: dict[str, tuple[str, ...]] = {
    "python": ('{name} = "{value}"', "config['{name}'] = '{value}'", 'f({name}="{value}")'),
    "javascript": ('const {name} = "{value}";', "o = {{ '{name}': '{value}' }};"),
    "typescript": ('const {name}: string = "{value}";', "x.{name} = `{value}`;"),
    "tsx": ('const {name} = "{value}";', '<Login {name}="{value}" />;'),
    "java": ('String {name} = "{value}";', 'props.put("{name}", "{value}");'),
    "go": ('var {name} = "{value}"', "var {name} string = `{value}`"),
    "rust": ('const {name}: &str = "{value}";', 'static {name}: &str = r"{value}";'),
    "c": ('#define {name} "{value}"', 'static const char *{name} = "{value}";'),
    "cpp": ('std::string {name}("{value}");', 'const auto {name} = "{value}"s;'),
    "csharp": ('var {name} = "{value}";', 'string {name} = @"{value}";'),
    "ruby": ("{name} = '{value}'", ":{name} => '{value}',", 'h["{name}"] = "{value}"'),
    "php": ("<?php ${name} = '{value}'; ?>", "<?php define('{name}', '{value}'); ?>"),
    "bash": ('export {name}="{value}"', "{name}='{value}'"),
    "kotlin": ('val {name} = "{value}"', 'const val {name}: String = "{value}"'),
    "scala": ('val {name} = "{value}"', 'def {name}: String = "{value}"'),
    "lua": ('local {name} = "{value}"', "t.{name} = '{value}'"),
    "sql": ("SET @{name} = '{value}';", "UPDATE t SET {name} = '{value}';"),
    "html": ('<meta name="{name}" content="{value}">', '<p data-{name}="{value}">x</p>'),
    "css": ('.a {{ --{name}: "{value}"; }}', ".b::after {{ --{name}: '{value}'; }}"),
}
"""How each language gives a string a name. `{{` stands for a brace."""


def key_block(rng: random.Random, kind: str) -> list[str]:
    """Return the lines of a private key."""
    body = [draw(rng, ALNUM + "+/", 64) for _ in range(rng.randint(3, 20))]
    dashes = "-" * 5
    return [
        f"{dashes}BEGIN {kind}{'PRIVATE'} KEY{dashes}",
        *body,
        draw(rng, ALNUM, 30) + "==",
        f"{dashes}END {kind}{'PRIVATE'} KEY{dashes}",
    ]
