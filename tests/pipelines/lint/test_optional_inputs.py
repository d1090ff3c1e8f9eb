"""``IfPresent`` asks for an optional input of either kind, at any depth."""

import pytest
from kfp import dsl

from pipelines.lint import lint
from tests.pipelines.lint.files import IMAGE, compile_to, container, documents, lint_documents


@dsl.container_component
def resume(weights: dsl.Input[dsl.Model] = None, seed: int = None):  # noqa: RUF013
    """All forms that kfp compiles: a command, a list, a text, one within the other."""
    start = dsl.IfPresentPlaceholder("weights", then=["from", weights.path], else_=["anew"])
    flag = dsl.IfPresentPlaceholder("weights", then=f"--weights={weights.uri}")
    nested = dsl.IfPresentPlaceholder("seed", then=[dsl.ConcatPlaceholder(["--seed=", seed])])
    within = dsl.ConcatPlaceholder(["--", dsl.IfPresentPlaceholder("weights", then="warm")])
    return dsl.ContainerSpec(IMAGE, ["train", start], [flag, nested, within])


@dsl.component(base_image=IMAGE)
def weigh(weights: dsl.Output[dsl.Model]):
    pass


def test_a_condition_on_an_optional_artifact_is_not_dangling(tmp_path):
    @dsl.pipeline(name="resume")
    def pipeline():
        resume()
        resume(weights=weigh().outputs["weights"], seed=1)

    assert lint(compile_to(tmp_path, pipeline)) == []


@pytest.mark.parametrize(
    "argument",
    [
        '{"IfPresent": {"InputName": "seed", "Then": "--seed"}}',
        ' {"IfPresent": {"InputName": "seed", "Then": ["--seed", "1"], "Else": ["--random"]}}',
        '{"Concat": ["--", {"IfPresent": {"InputName": "seed", "Then": "seed"}}]}',
        '{"IfPresent": {"InputName": "lr", "Then": [{"IfPresent": {"InputName": "seed"}}]}}',
    ],
)
def test_a_condition_on_what_is_not_an_input_is_dangling(argument, tmp_path):
    spec, platform = documents()
    container(spec)["args"].append(argument)
    (finding,) = lint_documents(tmp_path, spec, platform)
    assert (finding.rule, finding.severity) == ("dangling", "error")
    assert "an IfPresent asks for input 'seed', which comp-train" in finding.message
    assert "there are data, lr" in finding.message


@pytest.mark.parametrize(
    "argument",
    [
        '{"IfPresent": {"InputName": "data", "Then": "--data"}}',
        '{"IfPresent": "seed"}',
        '{"IfPresent": {"InputName": "seed"',
        '{"note": "IfPresent"}',
    ],
)
def test_other_json_is_left_alone(argument, tmp_path):
    spec, platform = documents()
    container(spec)["args"].append(argument)
    assert lint_documents(tmp_path, spec, platform) == []
