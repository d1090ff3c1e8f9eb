"""What a task with an accelerator should be given."""

import pytest

from tests.pipelines.lint.files import configs, container, documents, lint_documents, tasks


def change_accelerator(**fields):
    def change(spec, platform):
        container(spec)["resources"]["accelerator"] = fields
        configs(platform).pop("exec-train")
        tasks(spec)["train"].pop("retryPolicy")

    return change


@pytest.mark.parametrize(
    ("fields", "gpu"),
    [
        ({"type": "nvidia.com/gpu", "count": "1"}, True),
        ({"resourceType": "nvidia.com/gpu", "resourceCount": "2"}, True),
        ({"resourceType": "amd.com/gpu", "resourceCount": "{{$.inputs.parameters['lr']}}"}, True),
        ({"resourceType": "nvidia.com/gpu", "resourceCount": "0"}, False),
        ({}, False),
    ],
)
def test_a_gpu_is_seen_in_the_old_and_the_new_fields(fields, gpu, tmp_path):
    spec, platform = documents()
    change_accelerator(**fields)(spec, platform)
    rules = ["gpu-shm", "gpu-timeout", "gpu-retry", "gpu-toleration"] if gpu else []
    assert [f.rule for f in lint_documents(tmp_path, spec, platform)] == rules


def test_shared_memory_and_time_limits_of_other_kinds_count(tmp_path):
    spec, platform = documents()
    config = configs(platform)["exec-train"]
    config.pop("emptyDirMounts")
    config["enabledSharedMemory"] = {"volumeName": "shm", "size": "2Gi"}
    config.pop("activeDeadlineSeconds")
    platform["platforms"]["kubernetes"]["pipelineConfig"] = {"activeDeadlineSeconds": 3600}
    assert lint_documents(tmp_path, spec, platform) == []


def test_an_empty_dir_on_disk_is_no_shared_memory(tmp_path):
    spec, platform = documents()
    configs(platform)["exec-train"]["emptyDirMounts"][0].pop("medium")
    (finding,) = lint_documents(tmp_path, spec, platform)
    assert finding.rule == "gpu-shm"
    assert "disk" in finding.message
