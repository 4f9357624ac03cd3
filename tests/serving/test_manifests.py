"""The manifests in docs/kubernetes: right by the schemas of Kubernetes and KServe, and true of this server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serving import cli
from serving.app import ROUTES

yaml = pytest.importorskip("yaml", reason="pip install pyyaml")
FOLDER = Path(__file__).parents[2] / "docs" / "kubernetes"


def documents(name: str) -> list[dict[str, Any]]:
    return [x for x in yaml.safe_load_all((FOLDER / name).read_text()) if x]


def containers() -> list[dict[str, Any]]:
    """Of both files."""
    deployment = next(x for x in documents("needle.yaml") if x["kind"] == "Deployment")
    (service,) = documents("kserve.yaml")
    return [*deployment["spec"]["template"]["spec"]["containers"], *service["spec"]["predictor"]["containers"]]


def test_kubernetes_takes_them() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    found = documents("needle.yaml")
    for document in found:
        validate.validate(document, validate.latest_version(), strict=True)
    assert {x["kind"] for x in found} == {"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"}
    broken = documents("needle.yaml")[0]
    broken["spec"]["template"]["spec"]["containers"][0]["readinessProbes"] = {}
    with pytest.raises(Exception, match="readinessProbes"):
        validate.validate(broken, validate.latest_version(), strict=True)


def test_kserve_takes_its_own() -> None:
    """By the fields that KServe's client has for a predictor, and Kubernetes' schema for its container."""
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    (service,) = documents("kserve.yaml")
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    predictor = service["spec"]["predictor"]
    own = {"minReplicas", "maxReplicas", "timeout", "containers"}  # ComponentExtensionSpec and PodSpec of v1beta1
    assert set(service["spec"]) == {"predictor"} and set(predictor) == own
    spec = {"containers": predictor["containers"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
    validate.validate(pod, validate.latest_version(), strict=True)


def test_arguments_probes_and_metrics_are_those_of_the_server() -> None:
    paths = {path for route in ROUTES for path in route.paths()}
    for container in containers():
        options = cli.parser().parse_args(container["args"])
        assert options.port == container["ports"][0]["containerPort"] and options.open
        for probe in ("readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["path"] in paths
    deployment, *_, scaler = documents("needle.yaml")
    pod = deployment["spec"]["template"]
    assert pod["metadata"]["annotations"]["prometheus.io/path"] in paths
    stop = int(pod["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["spec"]["terminationGracePeriodSeconds"] > cli.parser().get_default("drain_seconds") + stop
    metric = scaler["spec"]["metrics"][0]["pods"]["metric"]["name"]
    assert f'"{metric}"' in (Path(cli.__file__).parent / "engine" / "metrics.py").read_text()
