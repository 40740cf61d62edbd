"""The Compose file: valid, whole, and true to what our programs and those of others take."""

from __future__ import annotations

import re
import shlex
import subprocess
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from fimble.upload import HEALTH_PATH
from lsp_server.serving.command import API_KEY_VARIABLE
from lsp_server.serving.limits import Limits
from lsp_server.serving.metrics import Metrics
from lsp_server.serving.worker import Counters
from telemetry.collector.command import read_tokens
from tests.deploy.manifests import (
    COMPOSE,
    DEPLOY,
    ELSEWHERE,
    LLAMA_FLAGS,
    ROOT,
    TGI_FLAGS,
    TGI_QUANTIZE,
    VLLM_FLAGS,
    flags_of,
    interpolated,
    our_arguments,
)

TEXT = (COMPOSE / "compose.yaml").read_text(encoding="utf-8")
EXAMPLE = (COMPOSE / "env.example").read_text(encoding="utf-8")
FILLED = {
    **dict(re.findall(r"^(\w+)=(.*)$", EXAMPLE, re.MULTILINE)),
    "ENGINE_TOKEN": "0123456789abcdef",
}
OTHERS = {"tgi": TGI_FLAGS, "vllm": VLLM_FLAGS, "llamacpp": LLAMA_FLAGS}


def read(**more: str) -> dict[str, Any]:
    """Return the Compose file as a person who filled in the example gets it."""
    return yaml.safe_load(interpolated(TEXT, {**FILLED, **more}))


def words(service: str, **more: str) -> list[str]:
    command = read(**more)["services"][service]["command"]
    return shlex.split(command) if isinstance(command, str) else command


def test_the_file_is_what_the_compose_specification_says() -> None:
    found = PyCompose.from_yaml(yaml.safe_dump(read()))
    found.validate()
    assert set(found.service_names()) == {
        *("tgi", "vllm", "llamacpp", "cpu", "collector", "proxy", "prometheus"),
    }


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("restart: unless-stopped", "restart: perhaps"),
        ("    networks: [inside, outside]", "    networks: [inside, nowhere]"),
        ("secrets: [collector_tokens]", "secrets: [no_tokens]"),
    ],
)
def test_what_the_specification_does_not_know_is_found(right: str, wrong: str) -> None:
    assert right in TEXT
    damaged = yaml.safe_load(interpolated(TEXT.replace(right, wrong), FILLED))
    with pytest.raises(ValueError, match=r"perhaps|nowhere|no_tokens"):
        PyCompose.from_yaml(yaml.safe_dump(damaged)).validate()


def test_the_example_names_every_variable_that_must_be_set() -> None:
    required = set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert required == {"ENGINE_TOKEN", "MODEL_DIR", "ENGINE_HOST", "COLLECTOR_HOST"}
    assert required <= FILLED.keys()
    assert set(re.findall(r"^(\w+)=", EXAMPLE, re.MULTILINE)) <= set(re.findall(r"\$\{(\w+)", TEXT))
    with pytest.raises(KeyError, match="ENGINE_TOKEN"):
        read(ENGINE_TOKEN="")


def test_every_profile_starts_one_engine_under_the_same_name() -> None:
    services = read()["services"]
    engines = {name for name, each in services.items() if "engine" in _aliases(each)}
    assert engines == {*OTHERS, "cpu"}
    assert all(services[name]["profiles"] == [name] for name in engines)
    assert [name for name, each in services.items() if not each.get("profiles")] == [
        "collector",
        "proxy",
    ]


def test_our_own_containers_are_started_with_options_that_we_have() -> None:
    services = read()["services"]
    served = our_arguments(words("cpu"))
    assert (served.port, served.model, served.threads) == (8080, "fimble-60m", 0)
    assert served.cache_mb == 1024
    assert set(services["cpu"]["environment"]) == {API_KEY_VARIABLE}
    collector = our_arguments(words("collector"))
    assert collector.behind_proxy
    assert str(collector.token_file) == f"/run/secrets/{services['collector']['secrets'][0]}"
    assert f"warehouse:{collector.data}" in services["collector"]["volumes"]
    check = services["collector"]["healthcheck"]["test"][-1]
    assert f":{collector.port}{HEALTH_PATH}'" in check


@pytest.mark.parametrize("engine", OTHERS)
def test_other_engines_are_started_with_options_that_they_have(engine: str) -> None:
    variables = {flag.upper().replace("-", "_") for flag in TGI_FLAGS} if engine == "tgi" else set()
    assert flags_of(words(engine)) <= OTHERS[engine]
    assert set(read()["services"][engine]["environment"]) <= variables | ELSEWHERE


def test_every_suggestion_of_more_words_is_one_that_the_engine_takes() -> None:
    offered = re.findall(r"^#   (\w+)_OPTIONS=(.*)$", EXAMPLE, re.MULTILINE)
    assert len(offered) == 6
    for name, text in offered:
        engine = name.lower()
        assert flags_of(words(engine, **{f"{name}_OPTIONS": text})) <= OTHERS[engine]
        quantised = re.search(r"--quantize (\S+)", text)
        assert quantised is None or quantised[1] in TGI_QUANTIZE


def test_all_containers_give_up_what_they_do_not_need() -> None:
    for name, each in read()["services"].items():
        assert each["cap_drop"] == ["ALL"], name
        assert each["security_opt"] == ["no-new-privileges:true"], name
        assert each["restart"] == "unless-stopped", name
        assert each["logging"]["options"]["max-size"] == "10m", name
    for name in ("cpu", "collector"):
        ours = read()["services"][name]
        assert (ours["read_only"], ours["user"]) == (True, "10001:10001")


def test_only_the_proxy_can_be_reached_from_other_machines() -> None:
    read_file = read()
    assert read_file["networks"]["inside"] == {"internal": True}
    ports = {name: each["ports"] for name, each in read_file["services"].items() if "ports" in each}
    assert ports == {"proxy": ["443:443", "80:80"], "prometheus": ["127.0.0.1:9090:9090"]}
    outside = {
        name for name, each in read_file["services"].items() if "outside" in each["networks"]
    }
    assert outside == {"proxy", "prometheus"}


def test_all_that_is_mounted_from_beside_the_file_is_there() -> None:
    mounted = [
        volume.partition(":")[0]
        for each in read()["services"].values()
        for volume in each.get("volumes", [])
        if volume.startswith("./")
    ]
    assert set(mounted) - {"./certificates"} == {"./Caddyfile", "./prometheus.yml", "./alerts.yml"}
    assert all((COMPOSE / name).exists() for name in mounted if name != "./certificates")


def test_alerts_and_targets_name_what_engines_say() -> None:
    [target] = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())["scrape_configs"]
    assert target["static_configs"] == [{"targets": ["engine:8080"]}]
    metrics = Metrics(Limits(max_input_tokens=10, max_total_tokens=20))
    metrics.failed("overloaded")

    class Idle:
        counters, num_waiting, num_running = Counters(), 0, 0

    said = metrics.render(Idle())  # pyrefly: ignore[bad-argument-type]
    [group] = yaml.safe_load((COMPOSE / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]:
        for name in re.findall(r"\btgi_\w+", rule["expr"]):
            assert re.search(rf"^{name}(?:{{| )", said, re.MULTILINE), name
    assert 'tgi_request_failure{err="overloaded"} 1' in said


def test_the_image_is_built_from_what_it_needs_and_runs_as_the_user_of_the_manifests() -> None:
    containerfile = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    assert containerfile.count("FROM ") == 2
    assert "\nUSER 10001:10001\n" in containerfile
    command = re.search(r"^CMD (.*)$", containerfile, re.MULTILINE)
    assert command is not None
    assert our_arguments(yaml.safe_load(command[1])).port == 3000
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert all((ROOT / name).exists() for name in kept)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {name.partition(".")[0] for name in project["tool"]["setuptools"]["packages"]}
    folders = project["tool"]["setuptools"]["package-dir"]
    assert {folders.get(name, name) for name in packages} <= kept
    extras = set(re.findall(r"'\.\[([\w,]+)\]'", containerfile)[0].split(","))
    assert extras <= project["project"]["optional-dependencies"].keys()


def test_the_image_is_what_its_linter_wants() -> None:
    linter = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run(
        [linter, DEPLOY / "Containerfile"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("", 0)


def test_tokens_as_the_example_says_are_tokens_as_the_collector_reads_them(tmp_path: Path) -> None:
    tokens = tmp_path / "collector-tokens"
    tokens.write_text(f"alice: {'a' * 64}\nbob: {'b' * 64}\n", encoding="utf-8")
    assert read_tokens(tokens) == {"a" * 64: "alice", "b" * 64: "bob"}


def _aliases(service: dict[str, Any]) -> list[str]:
    networks = service["networks"]
    return networks["inside"].get("aliases", []) if isinstance(networks, dict) else []
