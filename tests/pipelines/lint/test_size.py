"""Sizes over a limit, or over half of it."""

from pathlib import Path

import pytest

from pipelines.document import read_documents
from pipelines.lint import lint
from pipelines.lint.run_size import DEFAULT_RETRIES, NO_DEFAULT_RETRIES, state_bytes
from pipelines.lint.schema import parse
from tests.pipelines.lint.files import IMAGE, LOOP, container, documents, lint_documents


def many_components(spec, platform):
    """Components that no task uses: they are in Argo's workflow all the same."""
    for number in range(40):
        spec["components"][f"comp-{number}"] = {"executorLabel": f"exec-{number}"}
        spec["deploymentSpec"]["executors"][f"exec-{number}"] = {
            "container": {"image": IMAGE, "command": ["python", "-c", f"{number}" + "#" * 15_000]}
        }


def long_argument(spec, platform):
    container(spec)["args"].append("#" * (128 * 1024 + 1))


def long_component(spec, platform):
    spec["components"][LOOP]["inputDefinitions"]["parameters"]["pipelinechannel--lr"][
        "description"
    ] = "#" * 70_000


def long_defaults(spec, platform):
    spec["root"]["inputDefinitions"]["parameters"]["lr"]["defaultValue"] = "#" * 6_000


@pytest.mark.parametrize(
    ("grow", "found"),
    [
        (many_components, [("warning", "the file"), ("warning", "the file")]),
        (
            long_argument,
            [("error", "deploymentSpec.executors.exec-train"), ("warning", "the file")],
        ),
        (long_component, [("warning", LOOP)]),
        (long_defaults, [("warning", "root.inputDefinitions.parameters")]),
    ],
)
def test_sizes_over_half_of_a_limit(grow, found, tmp_path):
    spec, platform = documents()
    grow(spec, platform)
    findings = lint_documents(tmp_path, spec, platform)
    assert [(f.severity, f.where) for f in findings if f.rule == "size"] == found
    assert {f.rule for f in findings} == {"size"}
    assert all("% of the limit" in f.message for f in findings)


MEASURED = Path(__file__).parents[1] / "measured" / "four_step.yaml"
"""The pipeline of 27 November 2026, of which the state of two runs was measured, on Kubeflow
Pipelines 2.17.0 and Argo 4.0.5: with the default retries of its installation and without."""


@pytest.mark.parametrize(
    ("copies", "measured"), [(DEFAULT_RETRIES, 1_070_000), (NO_DEFAULT_RETRIES, 690_000)]
)
def test_the_state_of_a_run_is_estimated_as_it_was_measured(copies, measured):
    pipeline, _ = parse(read_documents(MEASURED))
    assert state_bytes(pipeline, copies) == pytest.approx(measured, rel=0.05)


def test_a_run_that_outgrows_argo_is_found_beforehand():
    (found,) = [f for f in lint(MEASURED) if f.rule == "size"]
    assert found.severity == "warning"
    assert "Kubeflow's list of tasks stands still" in found.message
