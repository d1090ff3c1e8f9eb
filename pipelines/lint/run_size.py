"""How large the state of a run grows in Argo, which keeps that of all tasks in one object.

A container task is six nodes there: its driver, itself and its executor, each with a node of
retries where the cluster has default retries, as Kubeflow Pipelines 2.17's own installation has.
Every node holds its inputs and outputs in full. So what a pod is made of, the pod-spec patch, is
stored six times, and in it Kubeflow's description of the task, as JSON in JSON in JSON. From the
sources of Kubeflow Pipelines 2.17 (argocompiler/container.go, driver/driver.go) and of Argo 4.0.5
(controller/operator.go); measured: docs/lint.md.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

from pipelines.lint.pipeline import Pipeline, Task

ID = "00000000-0000-0000-0000-000000000000"
SESSION = json.dumps(
    {
        "Provider": "minio",
        "Params": {
            "accessKeyKey": "accesskey",
            "disableSSL": "true",
            "endpoint": "seaweedfs.kubeflow:9000",
            "fromEnv": "false",
            "maxRetries": "5",
            "region": "minio",
            "secretKeyKey": "secretkey",
            "secretName": "mlpipeline-minio-artifact",
        },
    },
    separators=(",", ":"),
)
"""What Kubeflow itself writes into the metadata of each artifact, in its own installation."""
OWN_METADATA = "0" * 64
"""A guess at what a component adds to the metadata of an artifact, a digest: the file does not say
it."""
LAUNCHER = (
    "/kfp-launcher/launch --executor_type container --pipeline_name {name} --run_id {id} "
    "--execution_id 12 --pod_name $(KFP_POD_NAME) --pod_uid $(KFP_POD_UID) "
    "--ml_pipeline_server_address ml-pipeline.kubeflow --ml_pipeline_server_port 8887 "
    "--mlmd_server_address metadata-grpc-service.kubeflow.svc.cluster.local "
    "--mlmd_server_port 8080 --publish_logs true --ml_pipeline_tls_enabled=false "
    "--metadata_tls_enabled=false --ca_cert_path  --cache_disabled=false --log_level 1 --"
)
HARDENING = {
    "capabilities": {"drop": ["ALL"]},
    "allowPrivilegeEscalation": False,
    "seccompProfile": {"type": "RuntimeDefault"},
}
FRAME = 600
"""What a node holds beside its inputs and outputs: names, times, children."""
DECISIONS = 800
"""A task's small parameters in all its nodes: whether it is cached, its condition, its retries."""


@dataclass(frozen=True)
class Copies:
    """How many nodes of a container task there are, and how many of them hold what."""

    nodes: int
    patch: int
    driver: int
    annotation: int
    root: int


DEFAULT_RETRIES = Copies(nodes=6, patch=6, driver=2, annotation=4, root=2)
"""Where the cluster has default retries for all templates."""
NO_DEFAULT_RETRIES = Copies(nodes=4, patch=4, driver=1, annotation=3, root=1)
"""Where it has none, and the task has retries of its own."""


def state_bytes(pipeline: Pipeline, copies: Copies = DEFAULT_RETRIES) -> int:
    """The size of the state of a finished run of which no task is cached, in bytes; an estimate.

    A loop counts as one iteration, a condition as met.
    """
    defaults = _defaults(pipeline)
    root = [MessageToDict(pipeline.components["root"]), defaults]
    total = copies.root * sum(map(_in_nodes, root)) + 6 * FRAME
    return total + sum(_task_bytes(pipeline, task, defaults, copies) for task in _tasks(pipeline))


def _tasks(pipeline: Pipeline) -> Iterator[Task]:
    """The tasks that run a container."""
    for task in pipeline.tasks():
        executor = pipeline.executors.get(pipeline.label(task))
        if executor is not None and executor.HasField("container"):
            yield task


def _task_bytes(pipeline: Pipeline, task: Task, defaults: Mapping[str, Any], copies: Copies) -> int:
    label = pipeline.label(task)
    component = MessageToDict(pipeline.component(task))
    container = MessageToDict(pipeline.executors[label])["container"]
    platform = MessageToDict(pipeline.kubernetes[label]) if label in pipeline.kubernetes else {}
    specification = MessageToDict(task.spec)
    patch = _patch(task.name, specification, component, container, platform, defaults)
    read_by_driver = (component, specification, container, platform)
    annotations = platform.get("podMetadata", {}).get("annotations", {})
    return (
        copies.patch * _in_nodes(patch)
        + copies.driver * sum(map(_in_nodes, read_by_driver))
        + copies.annotation * sum(len(_json(pair)) + 80 for pair in annotations.items())
        + copies.nodes * FRAME
        + DECISIONS
    )


def _patch(
    name: str,
    task: Mapping[str, Any],
    component: Mapping[str, Any],
    container: Mapping[str, Any],
    platform: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> dict[str, Any]:
    """The pod-spec patch of a task, as Kubeflow's driver makes it."""
    described = _executor_input(name, task, component, defaults)
    launcher = LAUNCHER.format(name="pipeline-name", id=ID).split(" ")
    launcher += ["--executor_input", _json(described), "--component_spec", _json(component)]
    values = described["inputs"]["parameterValues"]
    words = [*container.get("command", []), *container.get("args", [])]
    resources = container.get("resources", {})
    return {
        "volumes": [
            {"name": n, "persistentVolumeClaim": {"claimName": n}} for n in _claims(platform)
        ]
        + [_without(m, "mountPath") for m in platform.get("emptyDirMounts", [])],
        "containers": [
            {
                "name": "main",
                "image": container.get("image", ""),
                "command": launcher,
                "args": [_resolved(word, values) for word in words],
                "env": [*container.get("env", []), *_environment(platform)],
                "resources": {
                    "limits": {k: v for k, v in resources.items() if k.endswith("Limit")},
                    "requests": {k: v for k, v in resources.items() if k.endswith("Request")},
                },
                "volumeMounts": [
                    {"name": mount.get("volumeName", "claim"), "mountPath": mount["mountPath"]}
                    for key in ("pvcMount", "emptyDirMounts")
                    for mount in platform.get(key, [])
                ],
                "securityContext": platform.get("securityContext", {}) | HARDENING,
            }
        ],
        "tolerations": platform.get("tolerations", []),
        "nodeSelector": platform.get("nodeSelector", {}).get("labels", {}),
        "imagePullSecrets": platform.get("imagePullSecret", []),
    }


def _executor_input(
    name: str, task: Mapping[str, Any], component: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """Kubeflow's description of the task: its inputs with metadata, and its outputs."""
    inputs = task.get("inputs", {})
    outputs = component.get("outputDefinitions", {}).get("artifacts", {})
    logs = {"executor-logs": {"artifactType": {"schemaTitle": "system.Artifact"}}}
    return {
        "inputs": {
            "artifacts": {n: _listed(_input_artifact(n)) for n in inputs.get("artifacts", {})},
            "parameterValues": {
                n: defaults.get(value.get("componentInputParameter", ""))
                for n, value in inputs.get("parameters", {}).items()
            },
        },
        "outputs": {
            "artifacts": {
                n: _listed({"name": n, "type": output["artifactType"], "uri": _uri(name, n)})
                for n, output in (outputs | logs).items()
            },
            "outputFile": "/" + _uri(name, "output_metadata.json"),
        },
    }


def _input_artifact(name: str) -> dict[str, Any]:
    return {
        "name": "25",
        "type": {"instanceSchema": ""},
        "uri": _uri("producer-task", name),
        "metadata": {"display_name": name, "own": OWN_METADATA, "store_session_info": SESSION},
    }


def _listed(artifact: Mapping[str, Any]) -> dict[str, Any]:
    return {"artifacts": [artifact]}


def _uri(task: str, artifact: str) -> str:
    return f"minio://mlpipeline/v2/artifacts/pipeline-name/{ID}/{task}/{ID}/{artifact}"


def _resolved(word: Any, values: Mapping[str, Any]) -> str:
    """An argument with the values of parameters in it: the driver fills in those."""

    def value(found: re.Match[str]) -> str:
        given = values.get(found[1])
        return given if isinstance(given, str) else _json(given)

    return re.sub(r"\{\{\$\.inputs\.parameters\['(.+?)'\]\}\}", value, str(word))


def _environment(platform: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for field in platform.get("fieldPathAsEnv", []):
        path = {"fieldPath": field.get("fieldPath", "")}
        yield {"name": field.get("name", ""), "valueFrom": {"fieldRef": path}}
    for secret in platform.get("secretAsEnv", []):
        for key in secret.get("keyToEnv", []):
            reference = {"name": secret.get("secretName", ""), "key": key.get("secretKey", "")}
            yield {"name": key.get("envVar", ""), "valueFrom": {"secretKeyRef": reference}}


def _claims(platform: Mapping[str, Any]) -> list[str]:
    return [str(mount.get("constant", "claim")) for mount in platform.get("pvcMount", [])]


def _without(mapping: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in mapping.items() if k != key}


def _defaults(pipeline: Pipeline) -> dict[str, Any]:
    """The values of the pipeline's inputs, as far as the file gives them."""
    given = MessageToDict(pipeline.components["root"]).get("inputDefinitions", {})
    return {n: p.get("defaultValue") for n, p in given.get("parameters", {}).items()}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _in_nodes(value: Any) -> int:
    """Bytes of a value that stands as JSON in a parameter of a node, which is JSON itself."""
    return len(_json(_json(value)))
