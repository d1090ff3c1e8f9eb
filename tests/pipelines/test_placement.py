"""The platform document: pods as the profile wants them, checked as Kubernetes checks them."""

import copy
import json
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from components.contract import load_stage
from pipelines.compile import compile_pipeline
from pipelines.placement import retry_window
from pipelines.profile import Profile, Retries, read_profile
from pipelines.sections import read_sections
from tests.pipelines.conftest import IMAGES, VERSION, Compiled
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
    "train-joint",
    "evaluate",
    "validate-onnx",
}


def compile_with(tmp_path, text):
    """The pipeline compiled with cluster.yaml, data on a volume, and this YAML over them."""
    (tmp_path / "own.yaml").write_text(text)
    examples = [ROOT / "profiles" / name for name in ("cluster.yaml", "data-volume.yaml")]
    path = tmp_path / "p.yaml"
    compile_pipeline(
        path,
        sections=read_sections(ROOT / "params.yaml"),
        version=VERSION,
        images=IMAGES,
        profile=read_profile([*examples, tmp_path / "own.yaml"]),
    )
    return Compiled(path, *yaml.safe_load_all(path.read_text()))


def pods(compiled):
    configs = compiled.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name in compiled.spec["root"]["dag"]["tasks"]:
        if "container" in (found := executor(compiled.spec, name)):
            yield name, pod(name, found["container"], configs[f"exec-{name}"])


@pytest.mark.parametrize("way", ["volume", "uri", "dvc", "gpus", "joint"])
def test_kubernetes_takes_every_pod(compiled, way):
    version = kubernetes_validate.latest_version()
    for _, manifest in pods(compiled(way)):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_kubernetes_does_not_take_a_wrong_pod(compiled):
    version = kubernetes_validate.latest_version()
    for name, manifest in list(pods(compiled("dvc")))[:1]:
        broken = copy.deepcopy(manifest)
        broken["spec"]["containers"][0]["imagePullSecret"] = name
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(broken, version, strict=True)


@pytest.mark.parametrize("way", ["dvc", "joint"])
def test_stages_with_a_gpu_ask_for_one_and_the_others_do_not(compiled, way):
    for name, manifest in pods(compiled(way)):
        spec = manifest["spec"]
        limits = spec["containers"][0]["resources"]["limits"]
        assert ("nvidia.com/gpu" in limits) == (name in GPU_TASKS), name
        shm = [v for v in spec["volumes"] if v.get("emptyDir", {}).get("medium") == "Memory"]
        assert bool(shm) == bool(spec["tolerations"]) == bool(spec["nodeSelector"])
        assert bool(shm) == (name in GPU_TASKS)
        assert spec["activeDeadlineSeconds"] == (172800 if shm else 21600)


def test_several_gpus_go_to_the_full_trainings_and_one_to_each_other_stage(compiled):
    for name, manifest in pods(compiled("gpus")):
        container = manifest["spec"]["containers"][0]
        several = name in {"train-rpn", "train-detector"}
        told = variables(manifest)
        assert told.get("FOURSTEP_PROCESSES") == ("4" if several else None), name
        if name in GPU_TASKS:
            limits = container["resources"]["limits"]
            assert limits["nvidia.com/gpu"] == ("4" if several else "1"), name


def mebibytes(size):
    return int(size[:-2]) * {"Mi": 1, "Gi": 1024}[size[-2:]]


def test_a_stage_asks_for_what_it_declares_unless_the_profile_says_otherwise(compiled):
    limits = {
        n: m["spec"]["containers"][0]["resources"]["limits"] for n, m in pods(compiled("uri"))
    }
    assert (limits["train-rpn"]["cpu"], limits["train-rpn"]["memory"]) == ("8", f"{36 * 1024}Mi")
    declared = load_stage("export_onnx").resources
    assert limits["export-onnx"]["memory"] == f"{declared.memory_gib * 1024}Mi"


@pytest.mark.parametrize("shm", ["512Mi", "64Gi"])
def test_shared_memory_is_on_top_of_what_a_stage_asks_for(tmp_path, shm):
    """An emptyDir of memory counts against the limit of the container that fills it."""
    for name, manifest in pods(compile_with(tmp_path, f"gpu: {{shm: {shm}}}\ntasks: {{}}")):
        resources = manifest["spec"]["containers"][0]["resources"]
        volumes = [v.get("emptyDir", {}) for v in manifest["spec"]["volumes"]]
        memory = [v["sizeLimit"] for v in volumes if v.get("medium") == "Memory"]
        assert memory == ([shm] if name in GPU_TASKS else []), name
        own = 32 if name in {"train-rpn", "train-detector"} else 8
        if name in GPU_TASKS - {"init-backbone"}:
            assert mebibytes(resources["limits"]["memory"]) == own * 1024 + mebibytes(shm), name
        assert resources["requests"]["memory"] == resources["limits"]["memory"]


def test_the_cluster_may_choose_whom_a_pod_runs_as(tmp_path):
    """OpenShift refuses a user that is not of the namespace's own range."""
    for _, manifest in pods(compile_with(tmp_path, "security: {user: null}")):
        context = manifest["spec"]["containers"][0]["securityContext"]
        assert not {"runAsUser", "runAsGroup"} & set(context)
        assert context["runAsNonRoot"] is True
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_every_pod_runs_hardened_with_a_folder_to_write_to(compiled):
    """For temporary files it has one that Kubeflow mounts: TMPDIR."""
    for name, manifest in pods(compiled("volume")):
        spec = manifest["spec"]
        context = spec["containers"][0]["securityContext"]
        assert (context["runAsUser"], context["runAsNonRoot"]) == (1000, True)
        paths = {m["mountPath"] for m in spec["containers"][0]["volumeMounts"]}
        assert ("/scratch" in paths) == (name != "check-params")
        assert spec["imagePullSecrets"] == []


def test_pull_secrets_are_named_in_each_pod(tmp_path):
    given = {"data": {"volume": {"claim": "datasets"}}, "image_pull_secrets": ["registry-pull"]}
    profile = Profile.model_validate_json(json.dumps(given))
    path = tmp_path / "p.yaml"
    sections = read_sections(ROOT / "params.yaml")
    compile_pipeline(path, sections=sections, version=VERSION, images=IMAGES, profile=profile)
    spec, platform = yaml.safe_load_all(path.read_text())
    for _, manifest in pods(Compiled(path, spec, platform)):
        assert manifest["spec"]["imagePullSecrets"] == [{"name": "registry-pull"}]


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
        assert ("MLFLOW_TRACKING_PASSWORD" in env) == (name != "check-params")
        if name != "check-params":
            assert env["MLFLOW_TRACKING_PASSWORD"]["valueFrom"]["secretKeyRef"]["key"] == "password"
        assert ("AWS_SECRET_ACCESS_KEY" in env) == (name == "fetch-data")


def variables(manifest):
    """What a stage is told: the lines of the annotation that its one variable refers to."""
    env = {e["name"]: e for e in manifest["spec"]["containers"][0]["env"]}
    if "FOURSTEP_TASK" not in env:
        return {}
    path = env["FOURSTEP_TASK"]["valueFrom"]["fieldRef"]["fieldPath"]
    text = manifest["metadata"]["annotations"][path.split("'")[1]]
    return dict(line.split("=", 1) for line in text.splitlines())


def test_a_stage_knows_its_run_its_name_and_what_made_its_image(compiled):
    for name, manifest in pods(compiled("volume")):
        container = manifest["spec"]["containers"][0]
        env = {e["name"]: e for e in container["env"]}
        if name == "check-params":
            assert env == {}
            continue
        assert container["args"][container["args"].index("--task") + 1] == name.replace("-", "_")
        run = env["FOURSTEP_PIPELINE_RUN"]["valueFrom"]["fieldRef"]["fieldPath"]
        assert run == "metadata.labels['pipeline/runid']"
        assert variables(manifest) == {
            "FOURSTEP_IMAGE": container["image"].partition("@sha256:")[2][:12],
            "FOURSTEP_GIT_COMMIT": "c0ffee",
            "FOURSTEP_KFP_UI": "https://kubeflow.example.com/pipeline",
            "FOURSTEP_RETRIES": "3 60s 2",
            "MLFLOW_TRACKING_URI": "http://mlflow.mlflow.svc:5000",
            "MLFLOW_EXPERIMENT_NAME": "fourstep",
            "TMPDIR": "/.cache",
        }


def test_joint_training_is_called_so(compiled):
    told = {n: variables(m).get("FOURSTEP_PIPELINE_NAME") for n, m in pods(compiled("joint"))}
    assert {v for n, v in told.items() if n != "check-params"} == {"joint"}


@pytest.mark.parametrize("way", ["volume", "uri", "dvc"])
def test_tasks_are_tried_again_with_backoff(compiled, way):
    day = 24 * 3600
    for name, task in compiled(way).spec["root"]["dag"]["tasks"].items():
        if name == "check-params":  # a wrong setting does not mend itself
            assert "retryPolicy" not in task
        elif name != "importer":
            timeout = 2 * day if name in GPU_TASKS else day // 4
            assert task["retryPolicy"] == {
                "backoffDuration": "60s",
                "backoffFactor": 2.0,
                "backoffMaxDuration": f"{4 * (timeout + 7 * day) + 60 + 120 + 240}s",
                "maxRetryCount": 3,
            }


def attempts(policy, lasts):
    """How many attempts Argo starts if each fails after `lasts` seconds.

    As processNodeRetries of Argo 4.0.5 does it (workflow/controller/operator.go). It ends with "Max
    duration limit exceeded", "Backoff would exceed max duration limit" or "No more retries left".
    """
    seconds = {k: int(v.rstrip("s")) for k, v in policy.items() if k.endswith("Duration")}
    elapsed, number = 0, 1
    while True:
        elapsed += lasts
        pause = seconds["backoffDuration"] * int(policy["backoffFactor"]) ** (number - 1)
        if elapsed + pause > seconds["backoffMaxDuration"] or number > policy["maxRetryCount"]:
            return number
        elapsed, number = elapsed + pause, number + 1


def test_every_attempt_may_take_all_its_time(compiled):
    """It did not: 1800 s from the first attempt's start were the end of all."""
    for name, manifest in pods(compiled("volume")):
        policy = compiled("volume").spec["root"]["dag"]["tasks"][name].get("retryPolicy")
        if policy:
            assert attempts(policy, manifest["spec"]["activeDeadlineSeconds"]) == 4, name
            assert attempts(policy | {"backoffMaxDuration": "1800s"}, 3600) == 1


def test_the_longest_time_that_a_profile_can_give_is_one_that_argo_can_count():
    """Argo counts nanoseconds in 64 bits, and what is beyond that comes out as something else."""
    most = Retries(count=100, backoff="604800s", factor=1)
    assert retry_window(most, 366 * 24 * 3600) * 10**9 < 2**63
