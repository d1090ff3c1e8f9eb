"""Components that Kubeflow takes for one another, as kfp compiles them."""

from kfp import dsl

from pipelines.lint import lint
from tests.pipelines.lint.files import IMAGE, compile_to


@dsl.container_component
def first(step_1: dsl.Output[dsl.Model]):
    return dsl.ContainerSpec(IMAGE, ["train"], ["{{$}}"])


@dsl.container_component
def third(step_3: dsl.Output[dsl.Model]):
    return dsl.ContainerSpec(IMAGE, ["train"], ["{{$}}"])


@dsl.container_component
def named(step_3: dsl.Output[dsl.Model]):
    return dsl.ContainerSpec(IMAGE, ["train"], ["--task", "named", "{{$}}"])


def found(path):
    return [(f.severity, f.where) for f in lint(path) if f.rule == "equal-containers"]


def test_equal_containers_of_other_outputs_are_one_component_to_kubeflow(tmp_path):
    """Seen on Kubeflow Pipelines 2.17.0: the second task wrote the first one's output."""

    @dsl.pipeline(name="p")
    def pipeline():
        first().after(third())

    assert found(compile_to(tmp_path, pipeline)) == [("error", "comp-third")]


def test_components_of_other_commands_or_of_the_same_outputs_are_not(tmp_path):
    @dsl.pipeline(name="p")
    def pipeline():
        first().after(named(), first())

    assert found(compile_to(tmp_path, pipeline)) == []
