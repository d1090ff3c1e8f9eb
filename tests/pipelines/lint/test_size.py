"""Sizes over a limit, or over half of it."""

import pytest

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
        (long_argument, [("error", "deploymentSpec.executors.exec-train")]),
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
