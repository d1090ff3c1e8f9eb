"""Inputs that no task uses."""

from kfp import dsl

from pipelines.lint import lint
from tests.pipelines.lint.components import work
from tests.pipelines.lint.files import compile_to


def test_an_input_that_a_sub_dag_is_given_but_does_not_use_is_unused(tmp_path):
    @dsl.pipeline
    def part(n: int, colour: str):
        work(x=n)

    @dsl.pipeline(name="outer")
    def outer(n: int, colour: str):
        part(n=n, colour=colour)

    (finding,) = lint(compile_to(tmp_path, outer))
    assert (finding.rule, finding.where) == (
        "unused-input",
        "root.inputDefinitions.parameters.colour",
    )
