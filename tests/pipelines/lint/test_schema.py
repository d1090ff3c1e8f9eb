"""What kfp's protobufs do not know, and files that are not a compiled pipeline."""

from importlib.metadata import version

import pytest

from components.errors import InputError
from pipelines.lint import lint
from tests.pipelines.lint.files import IMAGE, configs, container, documents, lint_documents, tasks

SCHEMA = {
    "unknown key": (lambda s, p: s.update(sdk="2.17"), "", "unknown field 'sdk'"),
    "no name": (lambda s, p: s.update(pipelineInfo={}), "pipelineInfo.name", "give the pipeline"),
    "type": (
        lambda s, p: tasks(s)["train"]["retryPolicy"].update(maxRetryCount="twice"),
        "components.comp-exit-handler-1.tasks.retryPolicy.maxRetryCount",
        "twice",
    ),
    "enumeration": (
        lambda s, p: s["root"]["inputDefinitions"]["parameters"]["lr"].update(parameterType="REAL"),
        "root.inputDefinitions.parameters[lr].parameterType",
        "Invalid enum value REAL",
    ),
    "executor": (
        lambda s, p: container(s).update(workingDir="/"),
        "deploymentSpec.executors.exec-train.container",
        "unknown field 'workingDir'",
    ),
    "deployment": (
        lambda s, p: s["deploymentSpec"].update(executor={}),
        "deploymentSpec",
        "did you mean 'executors'?",
    ),
    "components are a list": (
        lambda s, p: s.update(components=[]),
        "components",
        "must be a mapping",
    ),
    "kubernetes": (
        lambda s, p: configs(p)["exec-train"].update(imagePullPolicys="Always"),
        "platforms.kubernetes.deploymentSpec.executors.exec-train",
        "did you mean 'imagePullPolicy'?",
    ),
    "kubernetes, deeper": (
        lambda s, p: configs(p)["exec-train"]["emptyDirMounts"][0].update(size="1Gi"),
        "platforms.kubernetes.deploymentSpec.executors.exec-train.emptyDirMounts[0]",
        "unknown field 'size'",
    ),
    "platform": (
        lambda s, p: p["platforms"]["kubernetes"].update(pipelineConf={}),
        "platforms[kubernetes]",
        "did you mean 'pipelineConfig'?",
    ),
    "pipeline configuration": (
        lambda s, p: p["platforms"]["kubernetes"].update(pipelineConfig={"ttl": 3}),
        "platforms[kubernetes].pipelineConfig",
        "unknown field 'ttl'",
    ),
}


@pytest.mark.parametrize("fault", SCHEMA)
def test_what_the_protobufs_do_not_know_is_named_with_its_path(fault, tmp_path):
    break_it, where, words = SCHEMA[fault]
    spec, platform = documents()
    break_it(spec, platform)
    (finding,) = [f for f in lint_documents(tmp_path, spec, platform) if f.rule == "schema"]
    assert (finding.severity, finding.where) == ("error", where)
    assert words in finding.message


def test_a_schema_error_does_not_hide_the_other_rules(tmp_path):
    spec, platform = documents()
    spec["sdk"] = "2.17"
    tasks(spec)["train"].pop("retryPolicy")
    assert [f.rule for f in lint_documents(tmp_path, spec, platform)] == ["schema", "gpu-retry"]


def test_a_field_of_a_later_kfp_is_a_warning(tmp_path):
    """kfp's repository has init containers since 167e188f0d, its release 2.17 has not."""
    spec, platform = documents()
    configs(platform)["exec-train"]["initContainers"] = [{"name": "unpack", "image": IMAGE}]
    configs(platform)["exec-train"]["imagePullPolicys"] = "Always"
    findings = [(f.severity, f.message) for f in lint_documents(tmp_path, spec, platform)]
    assert [severity for severity, _ in findings] == ["error", "warning"]
    assert "'imagePullPolicys'" in findings[0][1]
    assert "does not know the field 'initContainers'" in findings[1][1]


@pytest.mark.parametrize(
    ("sdk", "severity"),
    [("kfp-99.0.0", "warning"), (f"kfp-{version('kfp')}", "error"), ("kfp-2.0.0", "error")],
)
def test_an_unknown_field_in_the_file_of_a_later_kfp_is_a_warning(sdk, severity, tmp_path):
    spec, platform = documents()
    spec["sdkVersion"] = sdk
    tasks(spec)["train"]["placement"] = {}
    (finding,) = lint_documents(tmp_path, spec, platform)
    assert (finding.rule, finding.severity) == ("schema", severity)
    assert "unknown field 'placement'" in finding.message


def test_a_value_of_another_type_stays_an_error_in_the_file_of_a_later_kfp(tmp_path):
    spec, platform = documents()
    spec["sdkVersion"] = "kfp-99.0.0"
    tasks(spec)["train"]["retryPolicy"]["maxRetryCount"] = "twice"
    assert [f.severity for f in lint_documents(tmp_path, spec, platform)] == ["error"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("---\n---\n", "is empty"),
        ("just text", "is no mapping but str"),
        ("[1, 2]", "is no mapping but list"),
        ("a: b: c", "is no YAML"),
        ("a: 1\n---\nb: 2\n---\nc: 3\n", "holds 3 documents"),
        ("a: 1", "no pipelineInfo and no root"),
        ("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n", "manifest (Workflow)"),
    ],
)
def test_what_is_no_compiled_pipeline_is_an_input_error(text, words, tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words.replace("(", r"\(").replace(")", r"\)")) as caught:
        lint(path)
    assert str(path) in str(caught.value)


def test_a_missing_or_binary_file_is_an_input_error(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\x1f\x8b\xff\xfe")
    for name in ("missing.yaml", "binary.yaml"):
        with pytest.raises(InputError, match="cannot be read"):
            lint(tmp_path / name)
