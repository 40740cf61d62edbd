"""The manifests: valid by Kubernetes' own schemas, and true to what our programs take."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml

from fimble.upload import HEALTH_PATH
from lsp_server.serving.command import API_KEY_VARIABLE
from tests.deploy.manifests import (
    ELSEWHERE,
    KUBERNETES,
    TGI_FLAGS,
    VLLM_FLAGS,
    documents,
    flags_of,
    our_arguments,
    resources,
)

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = ("1.30", "1.37")
"""The oldest and the newest Kubernetes that the manifests are for."""
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
ENGINES = ("cpu", "tgi", "vllm")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - within a container


@pytest.mark.parametrize("version", VERSIONS)
def test_every_resource_is_what_kubernetes_takes(version: str) -> None:
    for path, resource in resources():
        try:
            kubernetes_validate.validate(resource, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            pytest.fail(f"{path}: {error}")


def test_what_kubernetes_does_not_take_is_found() -> None:
    [deployment] = documents(KUBERNETES / "engines/tgi/engine.yaml")
    deployment["spec"]["template"]["spec"]["containers"][0]["readinessprobe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)


def test_everything_that_a_kustomization_names_is_there() -> None:
    for path in KUBERNETES.rglob("kustomization.yaml"):
        [table] = documents(path)
        assert table["kind"] == "Kustomization"
        for name in table["resources"]:
            assert (path.parent / name).exists(), f"{path} names {name}"
        beside = {each.name for each in path.parent.glob("*.yaml")} - {"kustomization.yaml"}
        assert beside <= set(table["resources"]), f"{path} forgets {beside}"


@pytest.mark.parametrize("engine", ENGINES)
def test_probes_and_services_meet_the_port_that_the_engine_listens_on(engine: str) -> None:
    container = _container(f"engines/{engine}/engine.yaml")
    service, _ = documents(KUBERNETES / f"engines/{engine}/service.yaml")
    [port] = container["ports"]
    assert f"--port={port['containerPort']}" in container["args"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": port["name"]}
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]


def test_our_own_containers_are_started_with_options_that_we_have() -> None:
    served = _container("engines/cpu/engine.yaml")
    settings = _settings("cpu")
    words = [_expanded(word, settings) for word in served["args"]]
    arguments = our_arguments(words)
    assert arguments.cache_mb == 1024
    assert (arguments.host, arguments.port, arguments.model) == (EVERYWHERE, 8080, "fimble-60m")
    assert {each["name"] for each in served["env"]} == {API_KEY_VARIABLE}

    collector = _container("base/collector.yaml")
    arguments = our_arguments(collector["args"])
    assert arguments.behind_proxy
    assert str(arguments.token_file) == "/run/secrets/fimble/tokens"
    [port] = collector["ports"]
    assert arguments.port == port["containerPort"]
    for probe in ("readinessProbe", "livenessProbe"):
        assert collector[probe]["httpGet"]["path"] == HEALTH_PATH
    mounted = {each["mountPath"] for each in collector["volumeMounts"]}
    assert {str(arguments.data), str(arguments.token_file.parent)} <= mounted


@pytest.mark.parametrize(("engine", "flags"), [("tgi", TGI_FLAGS), ("vllm", VLLM_FLAGS)])
def test_other_engines_are_started_with_options_that_they_have(
    engine: str, flags: frozenset[str]
) -> None:
    container = _container(f"engines/{engine}/engine.yaml")
    assert flags_of(container["args"]) <= flags
    variables = {flag.upper().replace("-", "_") for flag in TGI_FLAGS} if engine == "tgi" else set()
    names = {each["name"] for each in container["env"]} | set(_settings(engine))
    assert names <= variables | ELSEWHERE | {"MODEL"}


@pytest.mark.parametrize("engine", ENGINES)
def test_words_of_commands_are_filled_in_from_the_settings(engine: str) -> None:
    words = " ".join(_container(f"engines/{engine}/engine.yaml")["args"])
    assert set(re.findall(r"\$\((\w+)\)", words)) <= set(_settings(engine))


def test_nothing_may_become_more_than_it_is_and_ours_is_never_root() -> None:
    pods = [each for _, each in resources() if each["kind"] in {"Deployment", "StatefulSet"}]
    assert len(pods) == 4
    for pod in pods:
        spec = pod["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]
            if container["image"] == "fimble":
                assert security["readOnlyRootFilesystem"] is True
                assert spec["securityContext"]["runAsNonRoot"] is True


def test_secrets_are_named_and_never_written() -> None:
    assert not [each for _, each in resources() if each["kind"] == "Secret"]
    for engine in ENGINES:
        for variable in _container(f"engines/{engine}/engine.yaml")["env"]:
            assert set(variable["valueFrom"]) == {"secretKeyRef"}


def test_metrics_and_documentation_of_engines_cannot_be_reached_from_outside() -> None:
    for path, each in resources():
        if each["kind"] != "Ingress":
            continue
        spec = each["spec"]
        assert {host for tls in spec["tls"] for host in tls["hosts"]} == {
            rule["host"] for rule in spec["rules"]
        }
        notes = each["metadata"]["annotations"]
        assert notes["nginx.ingress.kubernetes.io/upstream-hash-by"] == "$remote_addr"
        engine = spec["rules"][0]["http"]["paths"]
        assert all(entry["pathType"] == "Exact" for entry in engine), path
        assert not {entry["path"] for entry in engine} & {"/", "/metrics", "/docs"}


def test_autoscalers_ask_for_metrics_that_the_adapter_makes_of_those_of_engines() -> None:
    [adapter] = documents(KUBERNETES / "monitoring/adapter-values.yaml")
    names = {"tgi_queue_size", "tgi_batch_current_size"} | {
        f"vllm:num_requests_{kind}" for kind in ("waiting", "running")
    }
    made: set[str] = set()
    for rule in adapter["rules"]["custom"]:
        wanted = re.search(r'__name__=~"([^"]+)"', rule["seriesQuery"])
        assert wanted is not None
        naming = rule.get("name", {"matches": "(.*)", "as": "${1}"})
        known = [name for name in names if re.search(wanted[1], name)]
        assert len(known) == 2
        renamed = re.sub(r"\$\{(\d)\}", r"\\\1", naming["as"])
        made |= {re.sub(naming["matches"], renamed, name, count=1) for name in known}
    asked = {
        metric["pods"]["metric"]["name"]
        for _, each in resources()
        if each["kind"] == "HorizontalPodAutoscaler"
        for metric in each["spec"]["metrics"]
        if metric["type"] == "Pods"
    }
    assert asked == made


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_an_overlay_builds_is_what_kubernetes_takes(overlay: str) -> None:
    found = _built(KUBERNETES / "overlays" / overlay)
    for resource in found:
        kubernetes_validate.validate(resource, VERSIONS[-1], strict=True)
    names = {(each["kind"], each["metadata"]["name"]) for each in found}
    suffix = "-canary" if overlay == "canary" else ""
    assert ("Deployment", f"engine{suffix}") in names
    assert (("StatefulSet", "collector") in names) == (overlay != "canary")
    spaces = {each["metadata"].get("namespace", each["metadata"]["name"]) for each in found}
    assert spaces == {"fimble-staging" if overlay == "staging" else "fimble"}
    [engine] = [each for each in found if each["kind"] == "Deployment"]
    [service] = [
        each for each in found if each["kind"] == "Service" and "engine" in each["metadata"]["name"]
    ]
    track = "canary" if overlay == "canary" else "stable"
    labels = engine["spec"]["template"]["metadata"]["labels"]
    assert labels["fimble.dev/track"] == track
    # The stable address never reaches a canary, nor the other way round.
    assert service["spec"]["selector"].items() <= labels.items()
    assert service["spec"]["selector"]["fimble.dev/track"] == track
    [claim] = [v for v in engine["spec"]["template"]["spec"]["volumes"] if v["name"] == "models"]
    assert claim["persistentVolumeClaim"]["claimName"] == "models"
    if overlay in {"staging", "canary"}:
        assert engine["spec"]["replicas"] == 1


def _built(folder: Path) -> list[dict[str, Any]]:
    builder = ["kubectl", "kustomize"] if shutil.which("kubectl") else ["kustomize", "build"]
    if shutil.which(builder[0]) is None:
        pytest.skip("neither kubectl nor kustomize is installed")
    built = subprocess.run([*builder, folder], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(built.stdout))


def _container(name: str) -> dict[str, Any]:
    [workload] = [
        each
        for each in documents(KUBERNETES / name)
        if each["kind"] in {"Deployment", "StatefulSet"}
    ]
    [container] = workload["spec"]["template"]["spec"]["containers"]
    return container


def _settings(engine: str) -> dict[str, str]:
    [table] = documents(KUBERNETES / f"engines/{engine}/kustomization.yaml")
    [generator] = table["configMapGenerator"]
    return dict(each.split("=", 1) for each in generator["literals"])


def _expanded(word: str, settings: dict[str, str]) -> str:
    return re.sub(r"\$\((\w+)\)", lambda match: settings[match[1]], word)
