"""What images and tasks may do, read from their sources; tests/containers runs them."""

import re
from pathlib import Path

import pytest
from kfp.kubernetes import kubernetes_executor_config_pb2

from pipelines.images import TARGETS
from pipelines.local import USER, hardened
from tests.containers.conftest import hardened_words

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
STAGES = {
    part.split("\n")[0].split()[-1]: part.splitlines()[1:]
    for part in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
}


@pytest.mark.parametrize("target", TARGETS)
def test_the_last_user_of_an_image_is_not_root(target):
    users = [line for line in STAGES[target] if line.startswith("USER")]
    assert users == ["USER 1000:1000"]
    # What comes after it would be the user's own, and so could be changed by it.
    assert STAGES[target].index(users[0]) > STAGES[target].index("COPY --from=" + source(target))


def source(target):
    line = next(line for line in STAGES[target] if line.startswith("COPY"))
    return line.removeprefix("COPY --from=")


def test_nothing_is_fetched_but_locked_packages():
    assert not re.search(r"^ADD\b|\bcurl\b|\bwget\b|git clone|apt-get", DOCKERFILE, re.MULTILINE)
    for line in re.findall(r"^RUN .*install .*-r.*", DOCKERFILE, re.MULTILINE):
        assert "--require-hashes" in line
        assert "--no-deps" in line


def test_no_secret_is_left_in_a_layer_or_a_variable():
    """Credentials of an index are mounted while a step runs (``--mount=type=secret``)."""
    for line in re.findall(r"^(?:ARG|ENV) .*", DOCKERFILE, re.MULTILINE):
        assert not re.search(r"secret|token|passw|credential|_key|index.?url|://", line, re.I), line
    for line in re.findall(r"^(?:COPY|RUN) .*", DOCKERFILE, re.MULTILINE):
        copied = not line.startswith("COPY") or not re.search(
            r"pip\.conf|netrc|uv\.toml|\.pem", line
        )
        assert copied, line
        for name in re.findall(r"target=(/etc/\S+)", line):
            assert re.search(rf"type=secret,id=\S+,target={re.escape(name)}", line)


def test_no_capability_is_asked_for():
    assert not re.search(r"setcap|chmod [ug+]*s|chmod [4267]\d{3}|sudo", DOCKERFILE)


def test_the_containers_of_run_local_and_of_the_tests_are_hardened():
    given = hardened(USER)
    assert given["user"] == "1000:1000"
    assert given["read_only"] is True
    assert given["cap_drop"] == ["ALL"]
    assert given["security_opt"] == ["no-new-privileges"]
    assert given["network_mode"] == "none"
    assert not {"privileged", "cap_add", "devices", "pid_mode", "ipc_mode"} & set(given)
    words = " ".join(hardened_words("image", "command"))
    for option in (
        *("--read-only", "--user 1000:1000", "--cap-drop ALL", "--network none"),
        "--security-opt no-new-privileges",
    ):
        assert option in words


def executors(compiled):
    platform = compiled("dvc").platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert len(platform) > 10
    return platform


def test_every_task_is_compiled_to_run_as_somebody(compiled):
    for name, task in executors(compiled).items():
        security = task["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert int(security["runAsUser"]) > 0, name
        assert int(security["runAsGroup"]) > 0, name


def test_every_folder_that_a_task_writes_to_is_mounted(compiled):
    """So the root file system may be read-only, where a cluster's policy demands it.

    Temporary files go to a folder that Kubeflow mounts in each pod (`dotCacheScratchLocation` in
    its argocompiler/container.go). check_params writes nothing.
    """
    for name, task in executors(compiled).items():
        if name == "exec-check-params":
            continue
        mounted = [*task.get("emptyDirMounts", []), *task["pvcMount"]]
        assert "/scratch" in {mount["mountPath"] for mount in mounted}, name
        (told,) = task["podMetadata"]["annotations"].values()
        assert "TMPDIR=/.cache" in told.splitlines(), name


def test_this_is_all_that_kubeflow_lets_a_pipeline_say():
    """Its compiler drops all capabilities itself. Once it can do more, `placement.pod` should."""
    fields = kubernetes_executor_config_pb2.SecurityContext.DESCRIPTOR.fields_by_name
    assert set(fields) == {"run_as_user", "run_as_group", "run_as_non_root"}
