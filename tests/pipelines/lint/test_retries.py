"""What Argo makes of a task's retries.

Argo's side, of 4.0.5: a retry begins only if `now` and the end of the pause lie within
`maxDuration` of the first attempt's start; the pauses are `duration * factor ** n`; the factor is
read by strconv.Atoi (workflow/controller/operator.go, processNodeRetries). A retry that runs when
the window ends is killed (workflowpod.go, getDeadline; executor.go, monitorDeadline).
"""

import pytest
from kfp import dsl, kubernetes

from pipelines.lint import lint
from tests.pipelines.lint.components import work
from tests.pipelines.lint.files import compile_to, documents, lint_documents, tasks

DAY = 24 * 3600


def found(folder, *, gpu, timeout=None, whole=None, **retry):
    """Rule and message of what is found about the retries of a task compiled by kfp."""
    config = dsl.PipelineConfig(active_deadline_seconds=whole) if whole else None

    @dsl.pipeline(name="retried", pipeline_config=config)
    def retried():
        task = work(x=1)
        task.set_retry(**retry)
        if gpu:
            task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(1)
        if timeout:
            kubernetes.set_timeout(task, timeout)

    findings = lint(compile_to(folder, retried))
    return [(f.severity, f.rule, f.message) for f in findings if "retry" in f.rule]


@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize(
    ("window", "words"),
    [
        ("0s", "is never retried"),
        ("12s", "is never retried"),
        (None, "0 of 2 retries can run to their end if attempts take their time limit of 86400 s"),
        (f"{2 * DAY + 9}s", "0 of 2 retries"),
        (f"{2 * DAY + 10}s", "1 of 2 retries"),
        (f"{3 * DAY + 29}s", "1 of 2 retries"),
        (f"{3 * DAY + 30}s", ""),
        ("604800s", ""),
    ],
)
def test_a_window_must_hold_every_retry_and_attempts_of_full_length(gpu, window, words, tmp_path):
    retry = {"num_retries": 2, "backoff_duration": "10s" if window != "12s" else "12s"}
    findings = found(tmp_path, gpu=gpu, timeout=DAY, backoff_max_duration=window, **retry)
    rule = "gpu-retry" if gpu else "retry"
    assert [(severity, name) for severity, name, _ in findings] == [("warning", rule)] * bool(words)
    for _, _, message in findings:
        assert words in message
        assert "maxDuration" in message
        assert "backoff_max_duration='604800s'" in message


def test_the_remedy_is_long_enough_for_long_attempts(tmp_path):
    ((_, _, message),) = found(tmp_path, gpu=True, timeout=5 * DAY, num_retries=3)
    enough = f"{20 * DAY}s"
    assert f"backoff_max_duration='{enough}'" in message
    retry = {"num_retries": 3, "backoff_max_duration": enough}
    assert found(tmp_path, gpu=True, timeout=5 * DAY, **retry) == []


@pytest.mark.parametrize(
    ("gpu", "whole", "window", "warns"),
    [
        (True, None, None, True),  # a training without a time limit, and kfp's default of an hour
        (True, None, "604800s", False),
        (False, None, None, False),  # seldom takes an hour
        (True, DAY, None, True),
        (True, DAY, f"{DAY}s", False),  # the run ends before the window does
        (False, DAY, None, False),
        (False, None, "0s", True),
    ],
)
def test_a_task_without_a_time_limit_of_its_own(gpu, whole, window, warns, tmp_path):
    findings = found(tmp_path, gpu=gpu, whole=whole, num_retries=2, backoff_max_duration=window)
    assert bool(findings) == warns


def test_tasks_of_a_nested_pipeline_inherit_its_retries(tmp_path):
    """As Kubeflow's server does since 2.14: backend/src/v2/compiler/visitor.go."""

    @dsl.pipeline
    def part():
        for retries in (None, 1):
            task = work(x=1).set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(1)
            kubernetes.set_timeout(task, 60)
            if retries:
                task.set_retry(retries, backoff_max_duration="30s")

    @dsl.pipeline(name="outer")
    def outer():
        part().set_retry(2)
        part()

    messages = {
        f.where: f.message for f in lint(compile_to(tmp_path, outer)) if f.rule == "gpu-retry"
    }
    assert messages.keys() == {"comp-part/work-2", "comp-part-2/work", "comp-part-2/work-2"}
    assert "is not retried" in messages["comp-part-2/work"]
    assert "0 of 1 retries" in messages["comp-part/work-2"]


def test_a_policy_without_a_window_is_one_of_no_length(tmp_path):
    """The server's default is "0" (container.go, addParameterDefault); kfp writes 3600s itself."""
    spec, platform = documents()
    tasks(spec)["train"]["retryPolicy"] = {"maxRetryCount": 2, "backoffFactor": 2}
    (finding,) = lint_documents(tmp_path, spec, platform)
    assert (finding.rule, "is never retried" in finding.message) == ("gpu-retry", True)


@pytest.mark.parametrize("factor", [2.5, 0.5, 1.0001, 1e10])
def test_argo_cannot_read_such_a_factor(factor, tmp_path):
    retry = {"num_retries": 1, "backoff_factor": factor, "backoff_max_duration": "1d"}
    ((severity, rule, message),) = found(tmp_path, gpu=False, timeout=60, **retry)
    assert (severity, rule) == ("error", "retry")
    assert "whole number" in message


@pytest.mark.parametrize("factor", [None, 1, 2.0, 3])
def test_whole_factors_pass(factor, tmp_path):
    assert found(tmp_path, gpu=False, num_retries=1, backoff_factor=factor) == []


def test_the_pauses_grow_with_the_factor(tmp_path):
    retry = {"num_retries": 3, "backoff_duration": "10s", "backoff_factor": 3}
    enough = 4 * 100 + 10 + 30 + 90
    for window, warns in ((enough - 1, True), (enough, False)):
        findings = found(
            tmp_path, gpu=False, timeout=100, backoff_max_duration=f"{window}s", **retry
        )
        assert bool(findings) == warns


def test_more_retries_than_fit_into_a_year_have_a_remedy_of_their_own(tmp_path):
    retry = {"num_retries": 10**9, "backoff_duration": "60s", "backoff_factor": 2}
    ((_, _, message),) = found(tmp_path, gpu=False, timeout=60, **retry)
    assert "5 of 100 retries" in message
    assert "fewer retries or a smaller factor" in message


def test_volumes_and_importers_take_no_retries(tmp_path):
    @dsl.pipeline(name="volume")
    def volume():
        made = kubernetes.CreatePVC(
            pvc_name_suffix="-x", access_modes=["ReadWriteOnce"], size="1Gi"
        )
        made.set_retry(2, backoff_factor=1.5, backoff_max_duration="0s")
        imported = dsl.importer(artifact_uri="gs://a/b", artifact_class=dsl.Dataset)
        imported.set_retry(2, backoff_factor=1.5, backoff_max_duration="0s")

    assert lint(compile_to(tmp_path, volume)) == []
