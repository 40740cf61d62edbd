"""Redaction: planted values are gone, everything else stays as it was, byte for byte."""

from __future__ import annotations

import ipaddress
import os
import platform
import random
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from tree_sitter import Parser

from fimble.languages import LANGUAGES, by_name, grammar
from tests.corpus.planted_secrets import (
    ADDRESSES,
    ALNUM,
    ASSIGNMENTS,
    HEX,
    NAMES,
    SECRETS,
    draw,
    key_block,
)
from training.corpus.redaction import WINDOW_BYTES, redact, stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.corpus.conftest import ColdScans

NAMES_OF_LANGUAGES = tuple(language.name for language in LANGUAGES)
CASES = 40  # of each kind in each language
COMMENTS = {"html": "<!-- 😀 naïve 数 -->", "css": "/* 😀 naïve 数 */"}
STAND_IN = r"redacted_[0-9a-f]{8}"


@pytest.fixture(autouse=True, scope="module")
def rule_cache(tmp_path_factory: pytest.TempPathFactory, compiled_rules: Path) -> Iterator[Path]:
    """Keep compiled rules out of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    shutil.copytree(compiled_rules, folder / "rules")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIMBLE_CACHE_DIR", str(folder))
        yield folder


class Planted:
    """A text of lines, each with one value that must go."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def add(self, template: str, value: str, **fields: str) -> None:
        mark = "\0"
        before, after = template.format(value=mark, **fields).split(mark)
        self.lines.append((before, value, after))

    def text(self) -> str:
        return "\n".join(before + value + after for before, value, after in self.lines)

    def check(self, redacted: str, pattern: str) -> None:
        """Fail unless each value, and nothing else, became what `pattern` describes."""
        got = redacted.split("\n")
        assert len(got) == len(self.lines)
        kept = [
            line + "   <- " + value
            for line, (before, value, after) in zip(got, self.lines, strict=True)
            if not re.fullmatch(
                re.escape(before) + (f"(?:{pattern})" if value else "") + re.escape(after), line
            )
        ]
        assert kept == []


def plant(kind: str, language: str, generate: object, names: tuple[str, ...]) -> Planted:
    rng = random.Random(f"{kind} {language}")
    planted, mark = Planted(), by_name(language).line_comment
    for number in range(CASES):
        template = rng.choice(ASSIGNMENTS[language])
        planted.add(template, generate(rng), name=rng.choice(names))
        if number % 7 == 0:  # bytes and characters must not be mixed up
            planted.lines.append((COMMENTS.get(language, "{} 😀 naïve 数").format(mark), "", ""))
    return planted


def has_error(text: str, language: str) -> bool:
    return Parser(grammar(language)).parse(text.encode()).root_node.has_error


def test_every_language_has_a_way_to_assign() -> None:
    assert set(NAMES_OF_LANGUAGES) <= set(ASSIGNMENTS)


@pytest.mark.parametrize("language", NAMES_OF_LANGUAGES)
@pytest.mark.parametrize("kind", SECRETS)
def test_planted_secrets_are_gone_and_all_else_stays(kind: str, language: str) -> None:
    planted = plant(kind, language, SECRETS[kind], NAMES.get(kind, ("value", "x1", "setting")))
    text = planted.text()
    redacted = redact(text)
    planted.check(redacted.text, STAND_IN)
    assert redacted[1:] == (CASES, 0, 0)
    assert redact(redacted.text) == (redacted.text, 0, 0, 0)
    assert has_error(redacted.text, language) <= has_error(text, language)


ADDRESS_PATTERNS = {
    "email": r"user[0-9a-f]{6}@example\.(?:com|org)",
    "ipv4": r"(?:192\.0\.2|198\.51\.100|203\.0\.113)\.[0-9]{1,3}",
    "ipv6": r"2001:db8::[0-9a-f:]+",
}


@pytest.mark.parametrize("language", NAMES_OF_LANGUAGES)
@pytest.mark.parametrize("kind", ADDRESSES)
def test_planted_addresses_are_gone_and_all_else_stays(kind: str, language: str) -> None:
    names = ("contact", "peer_addr", "value")
    planted = plant(kind, language, ADDRESSES[kind], names)
    redacted = redact(planted.text())
    planted.check(redacted.text, ADDRESS_PATTERNS[kind])
    assert redacted[1:] == (0, CASES * (kind == "email"), CASES * (kind != "email"))
    assert redact(redacted.text) == (redacted.text, 0, 0, 0)


@pytest.mark.parametrize(
    "template",
    [
        "dsn = 'postgres://app:{value}@db7.corp.net:5432/main'",
        'const url = "https://bot:{value}@git.corp.net/x.git";',
        "redis://:{value}@cache.corp.net",
        "mysql+pymysql://root:{value}@10.0.0.7/app?charset=utf8",
        "amqp://svc:{value}@mq.corp.net/%2f",
    ],
)
def test_passwords_in_urls_are_gone_and_their_hosts_stay(template: str) -> None:
    rng, planted = random.Random(5), Planted()
    for _ in range(80):
        planted.add(template, draw(rng, ALNUM, rng.randint(7, 20)) + "7")
    redacted = redact(planted.text())
    planted.check(redacted.text, STAND_IN)
    assert redacted[1:] == (80, 0, 0)


WRAPPED_KEYS = {
    "heredoc": ("key = '''\n", "{line}\n", "'''\n"),
    "raw": ("", "{line}\n", ""),
    "indented": ("", "        {line}\n", ""),
    "comment": ("", "// {line}\n", ""),
    "concatenated": ("String key =\n", '    "{line}\\n" +\n', '    "";\n'),
    "adjacent": ("const char *key =\n", '  "{line}\\n"\n', ";\n"),
    "list": ("key = [\n", "  '{line}',\n", "]\n"),
    "escaped": ('{{"key": "', "{line}\\n", '"}}\n'),
}


@pytest.mark.parametrize("wrapping", WRAPPED_KEYS)
@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", "DSA "])
def test_private_keys_become_one_line_in_their_quotes(kind: str, wrapping: str) -> None:
    rng = random.Random(f"{kind}{wrapping}")
    head, each, tail = WRAPPED_KEYS[wrapping]
    for _ in range(10):
        lines = key_block(rng, kind)
        block = "".join(each.format(line=line) for line in lines)
        text = f"a = 1\n{head}{block}{tail}b = '😀'\n"
        redacted = redact(text)
        begin, end = text.index(lines[0]), text.index(lines[-1]) + len(lines[-1])
        before, after = re.escape(text[:begin]), re.escape(text[end:])
        middle = re.escape(lines[0]) + STAND_IN + re.escape(lines[-1])
        assert re.fullmatch(before + middle + after, redacted.text)
        assert redacted[1:] == (1, 0, 0)
        assert redact(redacted.text) == (redacted.text, 0, 0, 0)


def test_code_about_keys_is_left_alone() -> None:
    dashes = "-" * 5
    text = (
        f'BEGIN = "{dashes}BEGIN RSA PRIVATE KEY{dashes}"\n'
        "def write_the_key_as_text(stream, encoded, line_length=64):\n"
        "    for start_of_line in range(0, len(encoded), line_length):\n"
        "        stream.write(encoded[start_of_line:start_of_line + line_length])\n"
        f'END = "{dashes}END RSA PRIVATE KEY{dashes}"\n'
    )
    assert redact(text) == (text, 0, 0, 0)


NEGATIVES = """
git clone git@github.com:group/project.git
git@gitlab.corp.net:group/project.git
@types+react@17.0.7/node_modules/x
import x from "https://esm.sh/@scope/name@1.2.3"
y = a@b.T + w@x.to(device) - m@n.io[0]
return this@MainActivity.name
Author: someone@example.com, other@mail.example.org, x@host.test, root@localhost
noreply@github.com no-reply@corp.com 123+joe@users.noreply.github.com donotreply@corp.com
ciphers = "aes256-gcm@openssh.com,chacha20-poly1305@openssh.com"
@app.route("/x") @Override @media print
url = "https://bob@corp.com/path"
listen 127.0.0.1:80 10.1.2.3 192.168.1.77 172.16.9.9 169.254.1.9 224.0.0.251 255.255.255.0 0.0.0.0
dns = ["8.8.8.8", "1.1.1.1", "9.9.9.9", "2001:4860:4860::8888"]
192.0.2.44 198.51.100.7 203.0.113.9 2001:db8::1 fe80::1 ::1 fd00::12 ff02::fb
version = "98.51.36.22"; Version=41.25.99.18, Culture=neutral; pip install foo==21.44.31.17
[assembly: AssemblyVersion("4.0.0.0")] runtime 16.0.0.0 foo-31.77.18.25.tar.gz
oid 1.3.6.1.4.1.311 2.5.29.37 see section 31.42.51.17, 1.2.3.4 and 5.6.7.8
<path d="m1.03 1.76 3.36.96.1-.74.4"> [:TypeError, '15.2.29.2']
ALTER USER app PASSWORD 'md5{hex32}'
x[2048::2] y[3000::] std::vector 12:34:56 00:1b:63:84:45:e6
integrity = "sha512-{b64}=="
sha256 = "{hex64}"
commit {hex40}
checksum_token = "{hex64}"
uuid = "{uuid}"
api_key = "YOUR_API_KEY"
password = "changeme"
password = "password"
password = os.environ["PASSWORD_FROM_ENVIRONMENT"]
secret = "xxxxxxxxxxxxxxxxxxxxxxxx"
token = "${{ secrets.GITHUB_TOKEN_OF_RELEASE }}"
auth_token = "<your-token-goes-here-please>"
api_key = "AKIAIOSFODNN7EXAMPLE"
postgres://user:password@localhost/db
https://user:${PASSWORD}@host/ https://user:%s@host/ mysql://root:root@db/
client_secret_name = "my-application-client-secret"
access_token_url = "https://login.corp.com/oauth2/v2.0/token"
token = "WebAuthnP256.getCredential"
secretKeyRef = "kubernetes.io/service-account-token"
TOKEN_KIND = "InvalidSmsRoleTrustRelationshipException"
private_key = "0x{hex40}"
img = "data:image/png;base64,{b64}"
vector = bytes.fromhex("{hex64}")
if token == "identifier_with_many_words_v2": pass
"""


def test_what_only_looks_private_stays_as_it_is() -> None:
    rng = random.Random(11)
    for _ in range(100):
        text = NEGATIVES
        while mark := re.search(r"\{(?:b64|hex64|hex40|hex32|uuid)\}", text):
            value = {
                "{b64}": draw(rng, ALNUM + "+/", 86),
                "{hex64}": draw(rng, HEX, 64),
                "{hex32}": draw(rng, HEX, 32),
                "{hex40}": draw(rng, HEX, 40),
                "{uuid}": "-".join(draw(rng, HEX, n) for n in (8, 4, 4, 4, 12)),
            }[mark[0]]
            text = text[: mark.start()] + value + text[mark.end() :]
        redacted = redact(text)
        changed = [
            (old, new)
            for old, new in zip(text.split("\n"), redacted.text.split("\n"), strict=True)
            if old != new
        ]
        assert changed == []
        assert redacted == (text, 0, 0, 0)


def test_offsets_are_right_after_emoji_and_at_both_ends() -> None:
    token = "gh" + "p_" + draw(random.Random(1), ALNUM, 36)
    word = stand_in(token, "secret")
    mail, address = "jane.roe@corp.com", "81.92.33.44"
    assert redact(token).text == word
    assert (
        redact(f"😀é{chr(0x1F469)} {token} 数 {token}").text
        == f"😀é{chr(0x1F469)} {word} 数 {word}"
    )
    assert redact(f"{token}\n{token}") == (f"{word}\n{word}", 2, 0, 0)
    text = f"{mail} '{token}','{token}' {address}"
    new = (stand_in(mail, "email"), stand_in(address, "ipv4"))
    assert redact(text) == (f"{new[0]} '{word}','{word}' {new[1]}", 2, 1, 1)
    assert redact("") == ("", 0, 0, 0)
    assert redact("😀") == ("😀", 0, 0, 0)


def test_a_password_that_is_also_a_known_token_is_replaced_once() -> None:
    token = "gh" + "p_" + draw(random.Random(2), ALNUM, 36)
    redacted = redact(f"https://bot:{token}@git.corp.net/x.git joe@git.corp.net")
    mail = stand_in("joe@git.corp.net", "email")
    word = stand_in(token, "secret")
    assert redacted == (f"https://bot:{word}@git.corp.net/x.git {mail}", 1, 1, 0)


def test_stand_ins_are_stable_and_lie_in_reserved_ranges() -> None:
    assert stand_in("a", "secret") == "redacted_" + sha256(b"secret\0a").hexdigest()[:8]
    assert stand_in("Joe@Corp.com", "email") == stand_in("joe@corp.com", "email")
    rng = random.Random(3)
    for _ in range(500):
        mail, four, six = (ADDRESSES[kind](rng) for kind in ("email", "ipv4", "ipv6"))
        assert stand_in(mail, "email").split("@")[1] in {"example.com", "example.org"}
        assert not ipaddress.ip_address(stand_in(four, "ipv4")).is_global
        assert ipaddress.ip_address(stand_in(six, "ipv6")) in ipaddress.ip_network("2001:db8::/32")


def test_secrets_anywhere_in_a_large_text_are_found() -> None:
    rng = random.Random(4)
    lines = [f"    total_{n} = compute({n}, 'some words')  # 😀" for n in range(20_000)]
    tokens = []
    for place in range(0, len(lines), 400):
        tokens.append("gh" + "p_" + draw(rng, ALNUM, 36))
        lines[place] = f"token_{place} = '{tokens[-1]}'"
    text = "\n".join(lines)
    assert len(text.encode()) > 25 * WINDOW_BYTES
    redacted = redact(text)
    expected = text
    for token in tokens:
        expected = expected.replace(token, stand_in(token, "secret"))
    assert redacted == (expected, len(tokens), 0, 0)


@pytest.mark.parametrize(
    "unit",
    [
        "a.com@", "@", "1.1.", "2001:", "-----BEGIN " + "PRIVATE KEY-----\n", "sk" + "-", "eyJa.",
        'password = "abcdefghij"\n', "http://a:", "curl -H ", "{", "token \"", "😀", "\n", "A",
    ],
)  # fmt: skip
def test_hostile_repetitions_come_back_unharmed(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    redacted = redact(text)
    assert redact(redacted.text).text == redacted.text
    if "com" not in unit:
        assert redacted == (text, 0, 0, 0)


# A seccomp filter that kills the process at the system call socket(2).
NO_SOCKETS = """
import ctypes, socket, struct, sys
nr = {"x86_64": 41, "aarch64": 198}[sys.argv[1]]
code = b"".join(struct.pack("=HBBI", *one) for one in (
    (0x20, 0, 0, 0), (0x15, 0, 1, nr), (0x06, 0, 0, 0x80000000), (0x06, 0, 0, 0x7FFF0000)))
buffer = ctypes.create_string_buffer(code)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
program = Program(4, ctypes.addressof(buffer))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
if sys.argv[2] == "socket":
    socket.socket()
from training.corpus.redaction import redact
print(redact("k = 'gh" + "p_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3z0a' # jane.roe@corp.com"))
"""


@pytest.mark.skipif(platform.machine() not in {"x86_64", "aarch64"}, reason="number of the call")
@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
def test_no_socket_is_ever_opened() -> None:
    def run(mode: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", NO_SOCKETS, platform.machine(), mode]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    redacted = run("redact")
    assert redacted.returncode == 0, redacted.stderr
    assert "num_secrets=1, num_emails=1" in redacted.stdout
    assert run("socket").returncode == -31  # SIGSYS: the filter works


@pytest.mark.slow
def test_processes_that_start_cold_at_once_agree(cold_scans: ColdScans) -> None:
    assert len(cold_scans.printed) == 2
    assert len(set(cold_scans.printed)) == 1
    assert b"num_secrets=1, num_emails=0, num_ips=1" in cold_scans.printed[0]
    assert [path.suffix for path in cold_scans.rules.iterdir()] == [".vscdb"]


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    code = "from training.corpus.redaction import redact; print(redact('jane.roe@corp.com')[2])"
    environment = {**os.environ, "FIMBLE_CACHE_DIR": str(blocked)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("1\n", 0), done.stderr
