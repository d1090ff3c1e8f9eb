"""What kfp's compiler gets wrong without a word."""

import pytest
from kfp import dsl, kubernetes

from pipelines.lint import lint
from tests.pipelines.lint.components import work
from tests.pipelines.lint.files import compile_to


@dsl.pipeline(name="literal")
def literal_in_branch(n: int):
    with dsl.If(n == 1), dsl.ParallelFor([{"a": 1}]) as row:
        work(x=row.a)


@dsl.pipeline(name="text")
def field_in_text(rows: list[dict]):
    with dsl.ParallelFor(rows) as row:
        work(x=1, text=f"{row.a} ")


@dsl.pipeline(name="mended")
def mended(n: int, rows: list[dict]):
    with dsl.If(n == 1), dsl.ParallelFor(rows) as row:
        work(x=1, text=row.a)


@pytest.mark.parametrize("pipeline", [literal_in_branch, field_in_text])
def test_loops_that_kfp_compiles_wrongly_are_found(pipeline, tmp_path):
    """kubeflow/pipelines #13273: they compile, and fail on the cluster."""
    findings = lint(compile_to(tmp_path, pipeline))
    assert {(f.rule, f.severity) for f in findings} == {("dangling", "error")}
    assert "#13273" in findings[0].message


def test_the_remedy_for_such_loops_helps(tmp_path):
    assert lint(compile_to(tmp_path, mended)) == []


def test_a_resource_from_an_input_that_kfp_does_not_pass_into_a_loop_is_found(tmp_path):
    @dsl.pipeline(name="memory")
    def memory_in_loop(memory: str):
        with dsl.ParallelFor([1, 2]) as number:
            work(x=number).set_memory_limit(memory)

    dangling, unused = lint(compile_to(tmp_path, memory_in_loop))
    assert (dangling.rule, dangling.where) == ("dangling", "comp-for-loop-2/work")
    assert "'pipelinechannel--memory'" in dangling.message
    assert unused.rule == "unused-input"


def test_a_text_that_kfp_did_not_compile_is_found(tmp_path):
    """The cluster would get kfp's own ``{{channel:...}}`` as a name, label or value."""

    @dsl.pipeline(name="text")
    def text_on_the_platform(team: str):
        word = work(x=1, text=team).outputs["text"]
        task = work(x=2).set_env_variable("TEAM", f"{team}-a")
        kubernetes.use_secret_as_env(task, f"{team}-login", {"password": "PASSWORD"})
        kubernetes.add_pod_label(task, "word", f"{word}-x")

    findings = lint(compile_to(tmp_path, text_on_the_platform))
    assert {(f.rule, f.severity) for f in findings} == {("dangling", "error")}
    executor = "deploymentSpec.executors.exec-work-2"
    assert {(f.where, f.message.partition(" within")[0]) for f in findings} == {
        (executor, "kfp did not compile input 'team'"),
        (f"platforms.kubernetes.{executor}", "kfp did not compile input 'team'"),
        (f"platforms.kubernetes.{executor}", "kfp did not compile output 'text' of task 'work'"),
    }
