"""The platform document: pods as the profile wants them, checked as Kubernetes checks them."""

import copy
from pathlib import Path

import kubernetes_validate
import pytest

from components.contract import load_stage
from pipelines.tasks import stage_of
from tests.pipelines.graphs import executor
from tests.pipelines.pods import pod

ROOT = Path(__file__).parents[2]
GPU_TASKS = {
    "init-backbone",
    "train-rpn",
    "generate-proposals-1",
    "train-detector",
    "finetune-rpn",
    "generate-proposals-3",
    "finetune-detector",
    "evaluate",
    "validate-onnx",
}


def pods(compiled):
    configs = compiled.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name in compiled.spec["root"]["dag"]["tasks"]:
        if "container" in (found := executor(compiled.spec, name)):
            yield name, pod(name, found["container"], configs[f"exec-{name}"])


@pytest.mark.parametrize("way", ["volume", "uri", "dvc"])
def test_kubernetes_takes_every_pod(compiled, way):
    for name, manifest in pods(compiled(way)):
        version = kubernetes_validate.latest_version()
        kubernetes_validate.validate(manifest, version, strict=True)
        broken = copy.deepcopy(manifest)
        broken["spec"]["containers"][0]["imagePullSecret"] = name
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(broken, version, strict=True)


def test_stages_with_a_gpu_ask_for_one_and_the_others_do_not(compiled):
    for name, manifest in pods(compiled("dvc")):
        spec = manifest["spec"]
        limits = spec["containers"][0]["resources"]["limits"]
        assert ("nvidia.com/gpu" in limits) == (name in GPU_TASKS), name
        shm = [v for v in spec["volumes"] if v.get("emptyDir", {}).get("medium") == "Memory"]
        assert bool(shm) == bool(spec["tolerations"]) == bool(spec["nodeSelector"])
        assert bool(shm) == (name in GPU_TASKS)
        assert spec["activeDeadlineSeconds"] == (172800 if shm else 21600)


def test_a_stage_asks_for_what_it_declares_unless_the_profile_says_otherwise(compiled):
    limits = {
        n: m["spec"]["containers"][0]["resources"]["limits"] for n, m in pods(compiled("uri"))
    }
    assert (limits["train-rpn"]["cpu"], limits["train-rpn"]["memory"]) == ("8", "32Gi")
    declared = load_stage("evaluate").resources
    assert limits["evaluate"]["memory"] == f"{declared.memory_gib}Gi"


def test_every_pod_runs_hardened_with_folders_to_write_to(compiled):
    for _, manifest in pods(compiled("volume")):
        spec = manifest["spec"]
        context = spec["containers"][0]["securityContext"]
        assert (context["runAsUser"], context["runAsNonRoot"]) == (1000, True)
        paths = {m["mountPath"] for m in spec["containers"][0]["volumeMounts"]}
        assert {"/tmp", "/scratch"} <= paths
        assert spec["imagePullSecrets"] == [{"name": "registry-pull"}]


def test_only_tasks_that_read_the_data_mount_its_volume(compiled):
    for name, manifest in pods(compiled("volume")):
        container = manifest["spec"]["containers"][0]
        mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
        assert ("/data" in mounts) == ("--data" in container["args"]), name
        if "/data" in mounts:
            assert mounts["/data"]["subPath"] == "voc2007"


def test_credentials_come_from_secrets_and_go_only_where_they_are_needed(compiled):
    for name, manifest in pods(compiled("dvc")):
        env = {e["name"]: e for e in manifest["spec"]["containers"][0]["env"]}
        assert env["MLFLOW_TRACKING_PASSWORD"]["valueFrom"]["secretKeyRef"]["key"] == "password"
        assert ("AWS_SECRET_ACCESS_KEY" in env) == (name == "fetch-data")


def test_a_stage_knows_its_run_and_its_name(compiled):
    for name, manifest in pods(compiled("volume")):
        env = {e["name"]: e for e in manifest["spec"]["containers"][0]["env"]}
        field = env["FOURSTEP_PIPELINE_RUN"]["valueFrom"]["fieldRef"]["fieldPath"]
        assert field == "metadata.labels['pipeline/runid']"
        field = env["FOURSTEP_GIT_COMMIT"]["valueFrom"]["fieldRef"]["fieldPath"]
        assert field == "metadata.annotations['fourstep/commit']"
        assert manifest["metadata"]["annotations"]["fourstep/commit"] == "c0ffee"
        assert env["FOURSTEP_STAGE"]["value"] == name.replace("-", "_")
        assert env["FOURSTEP_KFP_UI"]["value"] == "https://kubeflow.example.com/pipeline"


@pytest.mark.parametrize("way", ["volume", "uri", "dvc"])
def test_tasks_are_tried_again_with_backoff(compiled, way):
    for name, task in compiled(way).spec["root"]["dag"]["tasks"].items():
        if name != "importer":
            assert task["retryPolicy"] == {
                "backoffDuration": "60s",
                "backoffFactor": 2.0,
                "backoffMaxDuration": "1800s",
                "maxRetryCount": 3,
            }


def test_tasks_and_stages_have_the_same_names(compiled):
    for name in compiled("volume").spec["root"]["dag"]["tasks"]:
        if name != "check-params":
            assert load_stage(stage_of(name.replace("-", "_")))
