"""Signed rules in real sessions: a model that changes while an editor runs, and files that lie."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from fimble.clock import SystemClock
from fimble.errors import ConfigError, InputError
from fimble.settings import RolloutSettings, Settings
from lsp_server.rollouts.following import Following
from lsp_server.rollouts.rules_file import Read, read_rules
from lsp_server.rollouts.signature import make_key, public_key, read_key, verified, with_signature
from tests.stand_ins.lsp_client import HEAD, LspClient, events_in, start_client, until
from tests.stand_ins.tgi_app import TgiScript, tgi_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FIRST_LINE = "its first line must be '# signed ed25519 ...', as `fimble rollout sign` writes it"
OWN, OTHER = "    return a + b", "    return b"


@pytest.fixture
def other() -> Iterator[TgiScript]:
    """Run the engine that is rolled out."""
    with tgi_server(TgiScript(answer=lambda _: ["    return", " b"])) as script:
        yield script


@pytest.fixture
def key(tmp_path: Path, tgi: TgiScript) -> Ed25519PrivateKey:
    """Return the team's key, which the user trusts."""
    made = make_key(tmp_path / "team.pem")
    (tmp_path / "fimble.toml").write_text(
        f'[engine]\ntgi_url = "{tgi.url}"\nfailover = false\n'
        "[completion]\ndebounce_ms = 0\ndeadline_ms = 0\n"
        '[telemetry]\nlevel = "keys"\nuser = "ada"\n'
        f'[rollout]\nkeys = ["{public_key(made)}"]\ncheck_every_s = 1\n'
    )
    return made


def rules(version: int, rule: str = "", expires: str = "2099-01-01") -> bytes:
    text = f'name = "next"\nrules_version = {version}\nexpires = {expires}\n'
    return f"{text}[[rules]]\n{rule}\n".encode() if rule else text.encode()


def publish(folder: Path, data: bytes) -> None:
    """Replace the rules of the user as a whole, as tools that distribute files do."""
    aside = folder / "rollout.new"
    aside.write_bytes(data)
    aside.replace(folder / "rollout.toml")


async def begin(environment: dict[str, str]) -> LspClient:
    client = await start_client(environment)
    await client.initialize(options={})
    return client


async def says(client: LspClient, number: int) -> str:
    """Return what a document that nobody has seen is offered; nothing at the very change."""
    uri = f"file:///p/m{number}.py"
    client.open(HEAD, uri=uri)
    items = await client.items((1, 0), uri=uri)
    client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    return "" if items is None else str(items[0]["insertText"])


async def comes_to_say(client: LspClient, text: str, number: int) -> None:
    """Ask in new documents until the answer is `text`."""
    for more in range(200):
        if await says(client, 1000 * number + more) == text:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"the session never came to say {text!r}")


async def test_a_session_changes_its_model_with_the_rules_and_back(
    environment: dict[str, str],
    key: Ed25519PrivateKey,
    other: TgiScript,
    tmp_path: Path,
    spool: Path,
) -> None:
    staff = f'name = "staff"\nusers = ["ada"]\ntgi_url = "{other.url}"'
    client = await begin(environment)
    assert await says(client, 0) == OWN
    publish(tmp_path, with_signature(rules(1, staff), key))
    await comes_to_say(client, OTHER, 1)
    explained = await client.explain()
    assert explained["rollout"] == {"name": "next", "version": 1, "rule": "staff", "trouble": ""}

    # Rules that were changed on the way, and older ones, change nothing; the user is told.
    publish(tmp_path, with_signature(rules(2), key) + b"# more\n")
    await until(lambda: len(client.messages) == 1)
    assert "signed by none of the 1 keys" in client.messages[0]
    assert await says(client, 2) == OTHER

    publish(tmp_path, with_signature(rules(3), key))
    await comes_to_say(client, OWN, 3)
    publish(tmp_path, with_signature(rules(1, staff), key))
    await until(lambda: len(client.messages) == 2)
    assert "has version 1, and this machine has seen version 3" in client.messages[1]
    assert await says(client, 4) == OWN

    publish(tmp_path, with_signature(rules(4, staff), key))
    await comes_to_say(client, OTHER, 5)
    (tmp_path / "rollout.toml.halted").touch()
    await comes_to_say(client, OWN, 6)
    assert await client.close() == 0

    exposed = {e["opportunity_id"]: e for e in events_in(spool) if e["ev"] == "exposed"}
    served = [e for e in events_in(spool) if e["ev"] == "served"]
    assert {(e["experiment"], e["arm"], e["flag_reason"]) for e in exposed.values()} == {
        ("next", "staff", "TARGETING_MATCH"),
        ("next", "none", "DEFAULT"),
    }
    arms = {e["opportunity_id"]: e["arm"] for e in exposed.values()}
    by_staff = [e for e in served if arms.get(e["opportunity_id"]) == "staff"]
    assert len(by_staff) >= 3
    assert {e["num_chars"] for e in by_staff} == {len(OTHER)}
    assert {e["num_chars"] for e in served if e not in by_staff} == {len(OWN)}


async def test_a_level_without_pseudonyms_obeys_rules_and_records_none(
    environment: dict[str, str],
    key: Ed25519PrivateKey,
    other: TgiScript,
    tmp_path: Path,
    spool: Path,
) -> None:
    settings = tmp_path / "fimble.toml"
    settings.write_text(settings.read_text().replace('level = "keys"', 'level = "metrics"'))
    everybody = f'name = "all"\nuser_share = 1\ntgi_url = "{other.url}"'
    publish(tmp_path, with_signature(rules(1, everybody), key))
    client = await begin(environment)
    assert await says(client, 0) == OTHER
    assert client.messages == []
    assert await client.close() == 0
    assert [e["ev"] for e in events_in(spool) if e["ev"] in {"served", "exposed"}] == ["served"]


@pytest.mark.usefixtures("key")
async def test_a_workspace_cannot_choose_whom_to_trust(
    environment: dict[str, str], other: TgiScript, tmp_path: Path
) -> None:
    foreign = make_key(tmp_path / "foreign.pem")
    everybody = f'name = "all"\nuser_share = 1\ntgi_url = "{other.url}"'
    publish(tmp_path, with_signature(rules(1, everybody), foreign))
    client = await start_client(environment)
    await client.initialize(options={"rollout": {"keys": [public_key(foreign)]}})
    assert await says(client, 0) == OWN
    assert "rollout can be set in fimble.toml only" in client.messages[0]
    assert "signed by none of the 1 keys" in client.messages[1]
    assert other.prompts == []


@pytest.fixture
def trusting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RolloutSettings:
    """Return settings that trust the key `team.pem`, in a state folder of their own."""
    monkeypatch.setenv("FIMBLE_STATE_DIR", str(tmp_path / "state"))
    made = public_key(make_key(tmp_path / "team.pem"))
    return RolloutSettings(keys=(made,), file=str(tmp_path / "rollout.toml"))


def test_the_last_good_rules_outlive_every_broken_file(
    trusting: RolloutSettings, tmp_path: Path
) -> None:
    key = read_key(tmp_path / "team.pem")
    assert read_rules(trusting) == Read(None)
    good = with_signature(rules(2, 'name = "all"\nuser_share = 1'), key)
    publish(tmp_path, good)
    rollout, trouble, is_halted = read_rules(trusting)
    assert (rollout and rollout.rules_version, trouble, is_halted) == (2, "", False)
    for broken, message in [
        (b"", "is not signed"),
        (rules(9), "is not signed"),
        (b"# signed ed25519 \xf0\x9f\x99\x82\n" + rules(9), "is damaged"),
        (b"# signed ed25519 AAAA\n" + rules(9), "signed by none"),
        (with_signature(rules(9), make_key(tmp_path / "foreign.pem")), "signed by none"),
        (with_signature(rules(9), key).replace(b"= 9", b"= 8"), "signed by none"),
        (with_signature(rules(9), key).replace(b"\n", b"\r\n"), "signed by none"),
        (with_signature(b"\xff", key), "is damaged"),
        (with_signature(b"rules_version = 9", key), "missing key"),
        (with_signature(rules(2), key), "has version 2, and this machine has seen version 2"),
        (with_signature(rules(1), key), "has version 1"),
        (b"#" * 1_000_001, "more than 1000000 bytes"),
    ]:
        publish(tmp_path, broken)
        kept, told, _ = read_rules(trusting)
        assert kept == rollout
        assert message in told
    (tmp_path / "rollout.toml").unlink()
    assert read_rules(trusting) == Read(rollout)
    (tmp_path / "rollout.toml.halted").touch()
    assert read_rules(trusting).is_halted
    publish(tmp_path, good)
    assert read_rules(trusting)[:2] == (rollout, "")


def test_rules_that_expire_or_name_a_missing_model_leave_what_is_configured(
    trusting: RolloutSettings, tmp_path: Path
) -> None:
    key = read_key(tmp_path / "team.pem")
    settings = Settings(rollout=trusting)
    rule = 'name = "all"\nuser_share = 1\nmodel = "model-that-has-not-arrived"'
    publish(tmp_path, with_signature(rules(1, rule), key))
    following = Following(settings, SystemClock())
    assert following.look() is False
    assert "the rule all: there is no model folder" in following.pop_trouble()
    assert following.pop_trouble() == ""
    assert (following.applied(settings), following.assignment) == (settings, None)

    publish(tmp_path, with_signature(rules(2, 'name = "all"\nuser_share = 1', "2020-01-01"), key))
    assert following.look() is False
    assert (
        following.pop_trouble() == "version 2 expired on 2020-01-01; what fimble.toml says counts"
    )


def fimble(folder: Path, *arguments: object) -> tuple[int, Any, str]:
    """Return exit code, what is printed as JSON, and the message of the command."""
    done = subprocess.run(
        [sys.executable, "-m", "fimble", "rollout", *map(str, arguments), "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "FIMBLE_CONFIG": f"{folder}/fimble.toml",
            "FIMBLE_STATE_DIR": f"{folder}",
        },
    )
    return done.returncode, json.loads(done.stdout or "null"), done.stderr


def test_a_team_makes_a_key_signs_rules_and_asks_who_gets_what(tmp_path: Path) -> None:
    pem, toml = tmp_path / "team.pem", tmp_path / "rollout.toml"
    (tmp_path / "fimble.toml").touch()
    code, made, _ = fimble(tmp_path, "key", pem)
    assert code == 0
    assert stat.S_IMODE(pem.stat().st_mode) == 0o600
    assert fimble(tmp_path, "key", pem)[1] == made
    (tmp_path / "fimble.toml").write_text(f'[rollout]\nkeys = ["{made["public_key"]}"]\n')
    toml.write_bytes(rules(3, 'name = "staff"\nteams = ["core"]\nmodel = "next"'))
    assert fimble(tmp_path, "check")[0::2] == (
        2,
        f"fimble: {toml} is not signed: {FIRST_LINE}\n",
    )
    for _ in range(2):  # who signs again replaces the signature
        assert fimble(tmp_path, "sign", toml, "--key", pem)[0] == 0
    assert toml.read_bytes().count(b"# signed ed25519") == 1
    assert fimble(tmp_path, "check")[1] == {
        "rules": str(toml),
        "name": "next",
        "version": 3,
        "expires": "2099-01-01",
        "num_rules": 1,
    }
    code, said, _ = fimble(tmp_path, "explain", "--user", "Zoë", "--team", "core")
    assert (code, said["rule"], said["model"], said["reason"]) == (
        0,
        "staff",
        "next",
        "TARGETING_MATCH",
    )
    assert said["rules"] == [{"name": "staff", "applies": True, "because": "team core is named"}]
    toml.write_bytes(rules(4, expires="2020-01-01"))
    assert fimble(tmp_path, "sign", toml, "--key", pem)[0::2] == (
        2,
        f"fimble: {toml}: expires is 2020-01-01, which is over\n",
    )


def test_keys_and_signatures_that_are_none_are_refused(tmp_path: Path) -> None:
    key = make_key(tmp_path / "team.pem")
    with pytest.raises(InputError, match="must not be overwritten"):
        make_key(tmp_path / "team.pem")
    signed = with_signature("x = '🙂'\r\n".encode(), key)
    assert verified(signed, (public_key(key),), where="r") == "x = '🙂'\r\n"
    (tmp_path / "other.pem").write_text("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----")
    with pytest.raises(InputError, match="no private key in PEM"):
        read_key(tmp_path / "other.pem")
    with pytest.raises(ConfigError, match="32 bytes in Base64"):
        verified(signed, ("ed25519:AAAA",), where="r")
