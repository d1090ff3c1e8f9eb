"""The end of a pod's log: what the stage has said, without what stands around it.

The lines around are those of Argo's emissary (cmd/argoexec/commands/emissary.go, 3.x and 4.0) and
of Kubeflow's launcher (backend/src/v2/component/launcher_v2.go, 2.17).
"""

import pytest

from pipelines.submit.log import SHOWN, parse_log
from pipelines.submit.nodes import node_id
from tests.pipelines.argo import WORKFLOW
from tests.pipelines.kfp_server import Fault, Frame, KfpServer
from tests.pipelines.submit.calls import start, watch

BEFORE = """\
time=2026-11-27T14:12:35.100Z level=INFO msg="capturing logs" argo=true
I1127 14:12:35.132456      28 main.go:67] Setting log level to: '1'
W1127 14:12:35.232456      28 launcher_v2.go:590] Could not determine retry index
"""
AFTER = """\
E1127 14:13:12.132456      28 launcher_v2.go:449] Component failed to execute successfully: {ended}
I1127 14:13:12.232456      28 launcher_v2.go:867] Executing uploadOutputArtifacts attempt: 1
I1127 14:13:12.332456      28 launcher_v2.go:206] publish success.
F1127 14:13:12.432456      28 main.go:59] failed to execute component: {ended}
time=2026-11-27T14:13:12.500Z level=INFO msg="sub-process exited" error="exit status 1" argo=true
Error: exit status 1
"""
OLDER = (
    'time="2024-07-26T09:55:54.436Z" level=info msg="sub-process exited" argo=true error="<nil>"\n'
)
TRACEBACK = """\
train_rpn: going on at iteration 400
Traceback (most recent call last):
  File "/app/components/train_rpn/run.py", line 7, in run
    head.load(x)
KeyError: 'weights'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/components/main.py", line 3, in <module>
    main()
    ^^^^^^
RuntimeError: CUDA out of memory
"""


def lines(own: str, ended: str = "exit status 1") -> list[str]:
    return list(parse_log(BEFORE + own + AFTER.format(ended=ended) + OLDER).lines)


def test_the_launchers_and_argos_lines_are_left_out() -> None:
    assert lines("train_rpn: 3 images\nloss 0.4\n") == ["train_rpn: 3 images", "loss 0.4"]
    assert lines("") == []
    assert parse_log("").lines == ()


def test_of_a_traceback_the_error_is_kept() -> None:
    assert lines(TRACEBACK) == [
        "train_rpn: going on at iteration 400",
        "KeyError: 'weights'",
        "RuntimeError: CUDA out of memory",
    ]


def test_of_a_progress_bar_the_last_state_is_kept() -> None:
    assert lines("\r0/600 [00:00<?]\r200/600 [00:15<00:30]\n") == ["200/600 [00:15<00:30]"]
    assert lines("a windows line\r\n") == ["a windows line"]


def test_only_the_last_lines_are_kept() -> None:
    found = lines("".join(f"line {n}\n" for n in range(99)))
    assert found[-1] == "line 98"
    assert len(found) == SHOWN


def test_an_error_of_the_launchers_own_is_kept() -> None:
    """The stage had done its work, and its outputs could not be brought away."""
    text = "register_model: done\nI1127 14:13:12.1      28 launcher_v2.go:1230] ExecutorOutput: {\n"
    text += '  "artifacts": {\n  }\n}\n'
    text += "F1127 14:13:12.2      28 main.go:59] failed to execute component: no bucket\n"
    log = parse_log(BEFORE + text)
    assert log.lines == ("register_model: done", "failed to execute component: no bucket")
    assert not log.refusal("register-model")


@pytest.mark.parametrize(
    ("task", "last", "ended", "refusal"),
    [
        ("train-rpn", "train_rpn: lr: must be positive", "exit status 1", True),
        ("generate-proposals-3", "generate_proposals: no images", "exit status 1", True),
        ("finetune-detector", "finetune: no images", "exit status 1", True),
        ("train-rpn", "train_rpn: step 3 of 600", "signal: killed", False),
        ("train-rpn", "train_rpn: step 3 of 600", "exit status 137", False),
        ("train-rpn", "train: lr: must be positive", "exit status 1", True),
        ("train-rpn", "train_r: lr: must be positive", "exit status 1", False),
        ("train-rpn", "RuntimeError: CUDA", "exit status 1", False),
        ("train-rpn", ": nothing", "exit status 1", False),
        ("train-rpn", "no colon", "exit status 1", False),
    ],
)
def test_a_refusal_is_told_from_an_accident(
    task: str, last: str, ended: str, refusal: bool
) -> None:
    log = parse_log(BEFORE + f"a line before\n{last}\n" + AFTER.format(ended=ended))
    assert log.ended == ended
    assert log.refusal(task) == refusal


@pytest.mark.parametrize("text", ["", BEFORE])
def test_a_log_without_a_line_of_the_stage(kfp: KfpServer, text: str) -> None:
    kfp.script = [Frame("FAILED", {"first": "FAILED"})]
    kfp.logs = {"": text}
    assert "(it holds no line of the stage)" in "\n".join(watch(kfp)[1])


def test_a_long_log_with_what_a_terminal_obeys(kfp: KfpServer) -> None:
    kfp.script = [Frame("FAILED", {"first": "FAILED"})]
    kfp.logs = {"": "x" * 100_000 + "\n" + "first: \x1b[31mkilled\u202e\n" + "y" * 10_000 + "\n"}
    text = "\n".join(watch(kfp)[1])
    assert "first: [31mkilled" in text
    assert "x" not in text.replace("exit", "").split("log of")[1].split("run FAILED")[0]
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert max(map(len, text.splitlines())) < 700


def test_an_error_behind_a_part_of_the_log_hides_none_of_it(kfp: KfpServer) -> None:
    kfp.script = [Frame("FAILED", {"first": "FAILED"})]
    kfp.logs = {"": 'first: loss 0.4\n{"error_message":"stream broke","error_details":""}'}
    text = "\n".join(watch(kfp)[1])
    assert "first: loss 0.4" in text
    assert "error_message" not in text


@pytest.mark.parametrize("namespace", [None, "team"])
def test_a_log_through_kubeflows_ui(kfp: KfpServer, namespace: str | None) -> None:
    """It does not hand on /apis/v1alpha1, and has a path of its own for logs."""
    start(kfp, namespace)
    kfp.through_ui, kfp.multi_user = True, namespace is not None
    kfp.script = [Frame("FAILED", {"first": "FAILED"})]
    node = node_id(WORKFLOW, f"{WORKFLOW}(0).root(0).first(0).executor(0)")
    kfp.logs = {node: "first: killed\n"}
    assert "first: killed" in [line.strip() for line in watch(kfp, namespace=namespace)[1]]


def test_a_log_that_is_away_through_kubeflows_ui(kfp: KfpServer) -> None:
    kfp.through_ui = True
    kfp.script = [Frame("FAILED", {"first": "FAILED"})]
    text = "\n".join(watch(kfp)[1])
    assert "log: the server does not give it: " in text
    assert "Could not get main container logs" in text


@pytest.mark.parametrize(
    ("kind", "words"), [("html", "login of a proxy"), ("login", "redirect"), ("drop", "broke")]
)
def test_a_page_in_place_of_a_log(kfp: KfpServer, kind: str, words: str) -> None:
    kfp.script = [Frame("FAILED", {"first": "FAILED"})]
    kfp.faults = [Fault("GET", "/log$", kind)]
    status, lines = watch(kfp)
    assert status == 1
    (line,) = [line for line in lines if "does not give it" in line]
    assert words in line
    assert "Please log in" not in "\n".join(lines)
