"""What a person sees of a run's tasks, from what Kubeflow Pipelines 2.17 has really answered."""

import json
from datetime import timedelta
from pathlib import Path

import kfp_server_api as api
import pytest
import yaml

from pipelines.submit.nodes import node_id
from pipelines.submit.tasks import read_tasks, task_names
from tests.pipelines.argo import CASES, START, recorded, task_details, workflow
from tests.pipelines.kfp_server import Frame, KfpServer
from tests.pipelines.submit.calls import DONE, SECRET, start, watch

TASKS = (
    "check-params",
    "check-data",
    "validate-data",
    "init-backbone",
    "train-rpn",
    "generate-proposals-1",
    "train-detector",
    "finetune-rpn",
    "generate-proposals-3",
    "finetune-detector",
    "evaluate",
    "export-onnx",
    "validate-onnx",
    "register-model",
)
FAILURES = ["nodes_failed_after_retries", "nodes_failed_not_retried"]


def words(lines: list[str]) -> list[str]:
    """The table's lines without their time, and without columns."""
    return [" ".join(line.split()[1:]) for line in lines]


@pytest.mark.parametrize("case", ["nodes_cached", *FAILURES])
def test_a_nodes_id_is_made_of_its_name(case: str) -> None:
    nodes = recorded(case)
    workflow = next(i for i, node in nodes.items() if node["name"] == i)
    assert {node_id(workflow, node["name"]) for node in nodes.values()} == set(nodes)


def test_the_fake_server_answers_as_the_real_one() -> None:
    """Its lists are made of Argo's nodes, and look like one that was recorded."""
    answer = json.loads((CASES / "run_list_frozen.json").read_text())
    real = [d for d in answer["run_details"]["task_details"] if "display_name" in d]
    fake = task_details("run-0", recorded("nodes_failed_not_retried"))
    assert {key for detail in fake for key in detail} == {key for detail in real for key in detail}
    running = task_details("run-0", workflow("RUNNING", {"first": "RUNNING"}, retried=True))
    assert {d["end_time"] for d in real if d["state"] == "RUNNING"} == {
        d["end_time"] for d in running if d["state"] == "RUNNING"
    }


def test_cached_tasks_are_shown_as_cached(kfp: KfpServer) -> None:
    start(kfp, tasks=TASKS)
    kfp.script = [Frame("SUCCEEDED", nodes=recorded("nodes_cached"))]
    status, lines = watch(kfp)
    assert status == 0
    assert "train-rpn CACHED" in words(lines)
    assert "check-data SUCCEEDED 20 s" in words(lines)
    assert "run SUCCEEDED (13 CACHED, 1 SUCCEEDED)" in lines


@pytest.mark.parametrize("retried", [True, False])
def test_one_task_of_two_is_cached(kfp: KfpServer, retried: bool) -> None:
    kfp.retried = retried
    kfp.script = [Frame("SUCCEEDED", {"first": "CACHED", "second": "SUCCEEDED"})]
    _, lines = watch(kfp)
    assert words(lines)[1:3] == ["first CACHED", "second SUCCEEDED 1 min 23 s"]


@pytest.mark.parametrize("at", [0, 83])
def test_a_task_that_ran_beside_a_cached_one_is_not_cached(kfp: KfpServer, at: int) -> None:
    """The second came from the cache in the moment that the first began, or ended."""
    nodes = workflow("SUCCEEDED", {"first": "SUCCEEDED", "second": "CACHED"}, retried=False)
    for node in nodes.values():
        if ".second" in node["name"]:
            moment = (START + timedelta(seconds=at)).isoformat()
            node |= {"startedAt": moment, "finishedAt": moment}
    kfp.script = [Frame("SUCCEEDED", nodes=nodes)]
    shown = words(watch(kfp)[1])
    assert "first SUCCEEDED 1 min 23 s" in shown
    assert "second CACHED" in shown


def test_a_list_that_lags_behind_its_run_says_not_known(kfp: KfpServer) -> None:
    """All 14 tasks had succeeded; the workflow's status had outgrown 1 MiB before that."""
    start(kfp, tasks=TASKS)
    answer = json.loads((CASES / "run_list_frozen.json").read_text())
    version = answer["pipeline_version_reference"]["pipeline_version_id"]
    kfp.versions[0].pipeline_version_id = version
    kfp.script = [Frame("SUCCEEDED", answer=answer)]
    pauses: list[float] = []
    status, lines = watch(kfp, sleep=pauses.append)
    assert status == 0
    assert "run SUCCEEDED (12 SUCCEEDED, 2 not known)" in lines
    assert "list of tasks ends before the run did" in "\n".join(lines)
    assert "not run" not in "\n".join(lines)
    assert len(pauses) == 3, "it may have been written a moment later"


def test_a_list_that_is_late_is_looked_at_again(kfp: KfpServer) -> None:
    """The server writes a run's state first, and then its tasks."""
    late = workflow("RUNNING", {"first": "SUCCEEDED", "second": "RUNNING"}, retried=True)
    kfp.script = [Frame("SUCCEEDED", nodes=late), DONE]
    assert "run SUCCEEDED (2 SUCCEEDED)" in watch(kfp)[1]


@pytest.mark.parametrize(
    ("case", "failed", "counts"),
    [
        (FAILURES[0], "check-data FAILED 2 min 27 s, 3 attempts", "1 SUCCEEDED, 1 FAILED, 12"),
        (FAILURES[1], "train-rpn FAILED 50 s", "2 SUCCEEDED, 2 CACHED, 1 FAILED, 9"),
    ],
)
def test_a_failed_task_shows_the_end_of_its_log(
    kfp: KfpServer, case: str, failed: str, counts: str
) -> None:
    start(kfp, tasks=TASKS)
    last = {FAILURES[0]: "four-step-wzxxm-2916026348", FAILURES[1]: "four-step-9s42b-2572509347"}
    kfp.script = [Frame("FAILED", nodes=recorded(case))]
    kfp.logs = {last[case]: "train_rpn: step 1\nMemoryError\nError: exit status 1\n"}
    status, lines = watch(kfp)
    assert status == 1
    shown = words(lines)
    at = shown.index(failed)
    assert [line.strip() for line in lines[at + 1 : at + 4]] == [
        "log of the last attempt (the process ended with exit status 1):",
        "train_rpn: step 1",
        "MemoryError",
    ]
    assert f"run FAILED ({counts} not run)" in lines


@pytest.mark.parametrize("retried", [True, False])
@pytest.mark.parametrize("tries", [1, 3])
def test_the_log_is_of_the_last_attempt(kfp: KfpServer, retried: bool, tries: int) -> None:
    kfp.retried = retried
    kfp.script = [Frame("FAILED", {"first": "SUCCEEDED", "second": "FAILED"}, tries=tries)]
    watch(kfp)
    (asked,) = [r.path for r in kfp.requests if r.path.endswith("/log")]
    top = "echo-twice-x7k2p" + ("(0)" if retried else "")
    scope = f"{top}.root(0).second(0)" if retried else f"{top}.root.second"
    attempt = f"({tries - 1})" if retried or tries > 1 else ""
    node = node_id("echo-twice-x7k2p", f"{scope}.executor{attempt}")
    assert asked == f"/apis/v1alpha1/runs/run-0/nodes/{node}/log"


def test_a_log_that_is_away(kfp: KfpServer) -> None:
    """The server answers 200 all the same, and JSON in place of the log."""
    kfp.script = [Frame("FAILED", {"first": "FAILED"}, error="child failed")]
    status, lines = watch(kfp, namespace="team")
    text = "\n".join(lines)
    assert status == 1
    assert 'log: the server does not give it: Failed to read logs for run run-0: pods "echo' in text
    assert "stack trace" not in text
    assert 'kubectl -n team logs -c main "$(kubectl -n team get pods -o name | grep -- -' in text
    assert "error: child failed" in text


@pytest.mark.parametrize("retried", [True, False])
def test_a_driver_that_fails_is_its_tasks_failure(kfp: KfpServer, retried: bool) -> None:
    """Then there is no node of the task: the container was never started."""
    kfp.retried = retried
    kfp.logs = {
        "": "I0102 03:04:05.000001      11 main.go:70] Setting log level\n"
        "F0102 03:04:06.000001      11 main.go:76] KFP driver: no claim 'data'\n"
    }
    kfp.script = [Frame("FAILED", {"first": "SUCCEEDED", "second-driver": "FAILED"})]
    status, lines = watch(kfp)
    text = "\n".join(lines)
    assert status == 1
    assert sum("second  FAILED" in line for line in lines) == 1
    assert "its driver failed, before the container was started" in text
    assert "KFP driver: no claim 'data'" in text
    assert "run FAILED (1 SUCCEEDED, 1 FAILED)" in lines


def test_a_driver_that_is_tried_again_has_not_failed(kfp: KfpServer) -> None:
    nodes = workflow("RUNNING", {"first": "SUCCEEDED", "second-driver": "RUNNING"}, retried=True)
    attempt = next(n for n in nodes.values() if n["displayName"] == "second-driver(0)")
    attempt["phase"] = "Failed"
    kfp.script = [Frame("RUNNING", nodes=nodes), DONE]
    assert "FAILED" not in "\n".join(watch(kfp)[1])


def test_a_failed_task_without_nodes_has_no_log(kfp: KfpServer) -> None:
    nodes = workflow("FAILED", {"first": "FAILED"}, retried=True)
    for node in nodes.values():
        node["children"] = []
    kfp.script = [Frame("FAILED", nodes=nodes)]
    text = "\n".join(watch(kfp)[1])
    assert "kubectl -n kubeflow get pods -l pipeline/runid=run-0 --field-selector" in text


def test_a_run_that_a_person_ends_is_cancelled(kfp: KfpServer) -> None:
    """The server says FAILED of it in the end, and of the tasks that were at work."""
    kfp.script = [
        Frame("RUNNING", {"first": "SUCCEEDED", "second": "RUNNING"}),
        Frame("CANCELING", {"first": "SUCCEEDED", "second": "RUNNING"}),
        Frame("FAILED", {"first": "SUCCEEDED", "second": "FAILED"}),
    ]
    status, lines = watch(kfp)
    assert status == 4
    assert "second CANCELED 1 min 23 s" in words(lines)
    assert "run CANCELED (1 SUCCEEDED, 1 CANCELED)" in lines
    assert "FAILED" not in "\n".join(lines)


def test_a_run_that_was_ended_before_it_is_watched(kfp: KfpServer) -> None:
    """Its history says so. What had failed before that, has failed."""
    ended = ("CANCELING", START + timedelta(seconds=200))
    kfp.script = [Frame("FAILED", {"first": "FAILED", "second": "FAILED"}, history=(ended,))]
    status, lines = watch(kfp)
    assert status == 4
    assert "run CANCELED (1 FAILED, 1 CANCELED)" in lines
    assert "second CANCELED 1 min 23 s" in words(lines)


def test_a_run_that_succeeds_although_a_person_ended_it(kfp: KfpServer) -> None:
    kfp.script = [Frame("CANCELING", {"first": "RUNNING"}), Frame("SUCCEEDED")]
    assert watch(kfp)[0] == 0


def test_names_of_a_compiled_pipeline(package: Path) -> None:
    spec = yaml.safe_load(package.read_text())
    assert task_names(spec) == task_names({"pipeline_spec": spec}) == {"first", "second"}
    assert task_names(None) == frozenset()


def test_a_run_is_watched_without_its_namespace(
    kfp: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOURSTEP_KFP_TOKEN", SECRET)
    kfp.multi_user, kfp.tokens = True, {SECRET: {"team"}}
    start(kfp, "team")
    kfp.script = [Frame("FAILED", {"first": "FAILED"})]
    status, lines = watch(kfp)
    assert status == 1
    assert "kubectl -n NAMESPACE logs -c main" in "\n".join(lines)


def test_a_task_in_a_loop_has_a_row_for_each_time() -> None:
    details = [
        api.V2beta1PipelineTaskDetail(task_id=i, display_name="first", state="RUNNING")
        for i in ("a", "b")
    ]
    run = api.V2beta1Run(run_details=api.V2beta1RunDetails(task_details=details))
    assert {t.key for t in read_tasks(run, frozenset({"first"}))} == {"first:a", "first:b"}
    assert read_tasks(api.V2beta1Run(), frozenset()) == []
