"""The linter on files of kfp's compiler: good ones, one fault at a time, and all of kfp's forms."""

import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from kfp import compiler, dsl, kubernetes

from cli.lint import lint_command, lint_or_fail, print_findings
from components.errors import InputError
from pipelines.lint import Finding, exit_status, lint
from pipelines.lint.secret_shapes import is_secret_name

EXAMPLES = Path(__file__).parent / "broken"
DIGEST = "@sha256:" + "0123456789abcdef" * 4
IMAGE = f"registry.example.com/team/train{DIGEST}"
LOOP = "comp-exit-handler-1"

RULES = {
    "schema": ("error", "components.comp-exit-handler-1.dag.tasks[train]", "'cachingOptions'?"),
    "dangling": ("error", "comp-exit-handler-1/train", "'download' is no task"),
    "unused-input": ("warning", "root.inputDefinitions.parameters.colour", "remove it"),
    "gpu-shm": ("warning", "comp-exit-handler-1/train", "/dev/shm"),
    "gpu-timeout": ("warning", "comp-exit-handler-1/train", "set_timeout"),
    "gpu-retry": ("warning", "comp-exit-handler-1/train", "set_retry"),
    "gpu-toleration": ("warning", "comp-exit-handler-1/train", "add_toleration"),
    "mutable-image": ("error", "deploymentSpec.executors.exec-prepare", "python:latest"),
    "secret": ("error", "executors.exec-train.container.env[1].value", "AWS access key"),
    "size": ("error", "root.inputDefinitions.parameters", "10,000 bytes"),
    "cached-exit-handler": ("warning", "root/tidy-up", "set_caching_options(False)"),
}


def documents():
    return list(yaml.safe_load_all((EXAMPLES / "good.yaml").read_text()))


def lint_documents(folder, *parts, **options):
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump_all(parts))
    return lint(path, **options)


def compiled(folder, pipeline):
    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return path


def tasks(spec, component=LOOP):
    return {**spec["components"], "root": spec["root"]}[component]["dag"]["tasks"]


def container(spec, name="train"):
    return spec["deploymentSpec"]["executors"][f"exec-{name}"]["container"]


def configs(platform):
    return platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


# ---- one fault at a time


def test_there_is_a_broken_example_for_each_rule():
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == {"good", *RULES}


def test_the_good_example_gives_nothing():
    assert lint(EXAMPLES / "good.yaml") == []


@pytest.mark.parametrize("rule", RULES)
def test_a_broken_example_gives_its_own_rule_only(rule):
    severity, where, words = RULES[rule]
    (finding,) = lint(EXAMPLES / f"{rule}.yaml")
    assert (finding.rule, finding.severity) == (rule, severity)
    assert where in finding.where
    assert words in finding.message


def set_output(spec, platform):
    spec["root"]["dag"]["outputs"] = {
        "parameters": {
            "Output": {"valueFromParameter": {"producerSubtask": "no", "outputParameterKey": "x"}}
        }
    }
    spec["root"]["outputDefinitions"] = {"parameters": {"Output": {"parameterType": "STRING"}}}


def undeclared_output(spec, platform):
    source = {"producerTask": "prepare", "outputArtifactKey": "dataset"}
    tasks(spec)["train"]["inputs"]["artifacts"]["data"] = {"taskOutputArtifact": source}


def undeclared_source(spec, platform):
    given = tasks(spec)["prepare"]["inputs"]["parameters"]
    given["size"] = {"componentInputParameter": "pipelinechannel--n"}


def cycle(spec, platform):
    tasks(spec)["prepare"]["dependentTasks"] = ["train"]


def nested_in_itself(spec, platform):
    tasks(spec)["again"] = {
        "componentRef": {"name": LOOP},
        "inputs": tasks(spec, "root")["exit-handler-1"]["inputs"],
    }
    for name, source in tasks(spec)["again"]["inputs"]["parameters"].items():
        source["componentInputParameter"] = name
    # Its inputs from the root stay what they were.
    tasks(spec, "root")["exit-handler-1"]["inputs"] = {
        "parameters": {
            f"pipelinechannel--{name}": {"componentInputParameter": name} for name in ("lr", "size")
        }
    }


DANGLING = {
    "component": (
        lambda s, p: tasks(s)["train"]["componentRef"].update(name="comp-tune"),
        f"{LOOP}/train",
        "'comp-tune' is no component",
    ),
    "executor": (
        lambda s, p: s["components"]["comp-tidy-up"].update(executorLabel="exec-tidy"),
        "comp-tidy-up",
        "'exec-tidy' is no executor",
    ),
    "no implementation": (
        lambda s, p: s["components"]["comp-tidy-up"].pop("executorLabel"),
        "comp-tidy-up",
        "neither a dag nor an executorLabel",
    ),
    "producer": (
        lambda s, p: tasks(s)["train"]["inputs"]["artifacts"]["data"]["taskOutputArtifact"].update(
            producerTask="download"
        ),
        f"{LOOP}/train",
        "producerTask 'download'",
    ),
    "output": (undeclared_output, f"{LOOP}/train", "no output artifact 'dataset'"),
    "source": (undeclared_source, f"{LOOP}/prepare", "'pipelinechannel--n', which comp-exit"),
    "extra input": (
        lambda s, p: tasks(s)["train"]["inputs"]["parameters"].update(
            momentum={"runtimeValue": {"constant": 0.9}}
        ),
        f"{LOOP}/train",
        "gives parameter 'momentum'",
    ),
    "missing input": (
        lambda s, p: tasks(s)["train"]["inputs"].pop("artifacts"),
        f"{LOOP}/train",
        "does not give artifact 'data'",
    ),
    "constant": (
        lambda s, p: tasks(s)["prepare"]["inputs"]["parameters"].update(
            {"pipelinechannel--x": {"runtimeValue": {"constant": "{{$.inputs.parameters['y']}}"}}}
        ),
        f"{LOOP}/prepare",
        "reads 'y'",
    ),
    "iterator": (
        lambda s, p: tasks(s, "root")["exit-handler-1"].update(
            parameterIterator={
                "itemInput": "pipelinechannel--lr",
                "items": {"inputParameter": "rates"},
            }
        ),
        "root/exit-handler-1",
        "iterates over 'rates'",
    ),
    "item": (
        lambda s, p: tasks(s, "root")["exit-handler-1"].update(
            parameterIterator={"itemInput": "rate", "items": {"raw": "[1]"}}
        ),
        "root/exit-handler-1",
        "itemInput 'rate'",
    ),
    "condition": (
        lambda s, p: tasks(s)["train"].update(
            triggerPolicy={"condition": "inputs.parameter_values['n'] == 1"}
        ),
        f"{LOOP}/train",
        "condition reads 'n'",
    ),
    "input placeholder": (
        lambda s, p: container(s)["args"].append("{{$.inputs.parameters['momentum']}}"),
        "deploymentSpec.executors.exec-train",
        "input parameter 'momentum'",
    ),
    "artifact placeholder": (
        lambda s, p: container(s)["command"].append("{{$.inputs.artifacts['weights'].path}}"),
        "deploymentSpec.executors.exec-train",
        "input artifact 'weights'",
    ),
    "output placeholder": (
        lambda s, p: container(s)["env"].append(
            {"name": "OUT", "value": "{{$.outputs.parameters['loss'].output_file}}"}
        ),
        "deploymentSpec.executors.exec-train",
        "output parameter 'loss'",
    ),
    "optional placeholder": (
        lambda s, p: container(s)["args"].append(
            '{"IfPresent": {"InputName": "seed", "Then": ["--seed", "1"]}}'
        ),
        "deploymentSpec.executors.exec-train",
        "input parameter 'seed'",
    ),
    "dag output": (set_output, "root", "producerSubtask 'no'"),
    "dag output without a source": (
        lambda s, p: s["root"].update(
            outputDefinitions={"artifacts": {"model": {"artifactType": {}}}}
        ),
        "root",
        "'model' is declared, but no task makes it",
    ),
    "platform executor": (
        lambda s, p: configs(p).update({"exec-tune": {"imagePullPolicy": "Always"}}),
        "platforms.kubernetes.deploymentSpec.executors.exec-tune",
        "is no executor",
    ),
    "platform input": (
        lambda s, p: configs(p)["exec-train"]["secretAsEnv"][0].update(
            secretNameParameter={"componentInputParameter": "login"}
        ),
        "platforms.kubernetes.deploymentSpec.executors.exec-train",
        "'login'",
    ),
    "platform producer": (
        lambda s, p: configs(p)["exec-train"].update(
            pvcMount=[
                {
                    "mountPath": "/data",
                    "taskOutputParameter": {
                        "producerTask": "createpvc",
                        "outputParameterKey": "name",
                    },
                }
            ]
        ),
        "platforms.kubernetes.deploymentSpec.executors.exec-train",
        "'createpvc'",
    ),
    "cycle": (cycle, LOOP, "train"),
    "component in itself": (nested_in_itself, LOOP, "hold themselves"),
}


@pytest.mark.parametrize("fault", DANGLING)
def test_each_kind_of_dangling_reference_is_named(fault, tmp_path):
    break_it, where, words = DANGLING[fault]
    spec, platform = documents()
    break_it(spec, platform)
    found = lint_documents(tmp_path, spec, platform)
    dangling = [finding for finding in found if finding.rule == "dangling"]
    assert [(f.severity, f.where) for f in dangling] == [("error", where)]
    assert words in dangling[0].message
    # A missing component or source also leaves the inputs unused that went there, nothing else.
    assert {finding.rule for finding in found} <= {
        "dangling",
        "unused-input",
        "cached-exit-handler",
    }


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


# ---- GPU


def change_accelerator(**fields):
    def change(spec, platform):
        container(spec)["resources"]["accelerator"] = fields
        configs(platform).pop("exec-train")
        tasks(spec)["train"].pop("retryPolicy")

    return change


@pytest.mark.parametrize(
    ("fields", "gpu"),
    [
        ({"type": "nvidia.com/gpu", "count": "1"}, True),
        ({"resourceType": "nvidia.com/gpu", "resourceCount": "2"}, True),
        ({"resourceType": "amd.com/gpu", "resourceCount": "{{$.inputs.parameters['lr']}}"}, True),
        ({"resourceType": "nvidia.com/gpu", "resourceCount": "0"}, False),
        ({}, False),
    ],
)
def test_a_gpu_is_seen_in_the_old_and_the_new_fields(fields, gpu, tmp_path):
    spec, platform = documents()
    change_accelerator(**fields)(spec, platform)
    rules = ["gpu-shm", "gpu-timeout", "gpu-retry", "gpu-toleration"] if gpu else []
    assert [f.rule for f in lint_documents(tmp_path, spec, platform)] == rules


def test_shared_memory_and_time_limits_of_other_kinds_count(tmp_path):
    spec, platform = documents()
    config = configs(platform)["exec-train"]
    config.pop("emptyDirMounts")
    config["enabledSharedMemory"] = {"volumeName": "shm", "size": "2Gi"}
    config.pop("activeDeadlineSeconds")
    platform["platforms"]["kubernetes"]["pipelineConfig"] = {"activeDeadlineSeconds": 3600}
    assert lint_documents(tmp_path, spec, platform) == []


def test_an_empty_dir_on_disk_is_no_shared_memory(tmp_path):
    spec, platform = documents()
    configs(platform)["exec-train"]["emptyDirMounts"][0].pop("medium")
    (finding,) = lint_documents(tmp_path, spec, platform)
    assert finding.rule == "gpu-shm"
    assert "disk" in finding.message


# ---- images


@pytest.mark.parametrize(
    ("image", "plain", "local"),
    [
        (f"name{DIGEST}", True, True),
        (f"host:5000/name:1.2{DIGEST}", True, True),
        ("fourstep/train:sha-0123456789ab", False, True),
        ("fourstep/train:sha-0123456789a", False, False),
        ("fourstep/train:sha-0123456789AB", False, False),
        ("python:3.11", False, False),
        ("python", False, False),
        ("host:5000/name", False, False),
        ("name@sha256:0123", False, False),
        ("", False, False),
        ("argostub/createpvc", True, True),
    ],
)
def test_images_pass_by_digest_and_local_tags_if_allowed(image, plain, local, tmp_path):
    spec, platform = documents()
    container(spec)["image"] = image
    for allowed, passes in ((False, plain), (True, local)):
        found = lint_documents(tmp_path, spec, platform, local_tags=allowed)
        assert [f.rule for f in found] == ([] if passes else ["mutable-image"])
        assert all(image in f.message for f in found)


def test_an_image_without_a_tag_means_latest(tmp_path):
    spec, platform = documents()
    container(spec)["image"] = "host:5000/name"
    (finding,) = lint_documents(tmp_path, spec, platform)
    assert "latest" in finding.message


def test_tasks_with_the_same_image_are_one_finding(tmp_path):
    spec, platform = documents()
    for name in ("prepare", "train", "tidy-up"):
        container(spec, name)["image"] = "python:3.11"
    (finding,) = lint_documents(tmp_path, spec, platform)
    assert finding.where == "deploymentSpec.executors.exec-prepare and 2 more"


# ---- secrets

# Put together here, so that no scanner takes this file for a leak.
SHAPED = {
    "AWS": "AKIA" + "IOSFODNN7EXAMPLE",
    "GitHub": "ghp_" + "a1B2" * 9,
    "GitLab": "glpat-" + "a1B2-c3D4_" * 2,
    "Slack token": "xoxb-" + "1234567890-abc",
    "Google API": "AIza" + "a1B2c" * 7,
    "Hugging Face": "hf_" + "aBcDe1" * 6,
    "OpenAI": "sk-proj-" + "a1B2" * 8,
    "JSON web": "eyJ" + "a" * 20 + ".eyJ" + "b" * 20 + "." + "c" * 20,
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n",
    "URL with a password": "https://someone:hunter" + "2@example.com/x",
    "URL with a token": "https://example.com/x?a=b&access_token" + "=abcd1234efgh",
    "authorization": "Authorization: Bearer abcd1234efgh",
}


def default(spec, platform, value):
    spec["root"]["inputDefinitions"]["parameters"]["lr"]["defaultValue"] = value


def nested_default(spec, platform, value):
    default(spec, platform, {"a": [{"b": f"x {value} y"}]})


def constant(spec, platform, value):
    tasks(spec)["prepare"]["inputs"]["parameters"]["size"] = {"runtimeValue": {"constant": value}}
    default(spec, platform, 1)
    spec["root"]["inputDefinitions"]["parameters"].pop("size")
    tasks(spec, "root")["exit-handler-1"]["inputs"]["parameters"].pop("pipelinechannel--size")
    spec["components"][LOOP]["inputDefinitions"]["parameters"].pop("pipelinechannel--size")


def environment(spec, platform, value):
    container(spec)["env"].append({"name": "X", "value": value})


def argument(spec, platform, value):
    container(spec)["args"].append(f"curl -H '{value}'")


def label(spec, platform, value):
    configs(platform)["exec-train"]["podMetadata"] = {"annotations": {"note": value}}


@pytest.mark.parametrize("kind", SHAPED)
@pytest.mark.parametrize("place", [default, nested_default, constant, environment, argument, label])
def test_known_tokens_are_found_anywhere_and_never_shown(kind, place, tmp_path, capsys):
    spec, platform = documents()
    place(spec, platform, SHAPED[kind])
    found = lint_documents(tmp_path, spec, platform)
    assert [f.rule for f in found] == ["secret"]
    assert kind in found[0].message
    print_findings(tmp_path / "pipeline.yaml", found)
    shown = capsys.readouterr().out
    assert SHAPED[kind].strip() not in shown
    assert "hunter" not in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["--password", "hunter2"],
        ["--db-password=hunter2"],
        ["-c", "export HF_TOKEN=hunter2 && run"],
        ["-c", "import x\nx.login(api_key='hunter2')\n"],
        ["-c", 'def f(password: str = "hunter2"): pass'],
        ["-c", "config = {'token': 'hunter2'}"],
        ['{"client_secret": "hunter2"}'],
        ['{"Concat": ["--token=", "hunter2"]}'],
    ],
)
def test_literals_under_secret_names_are_found_in_arguments(arguments, tmp_path):
    spec, platform = documents()
    container(spec)["args"] += arguments
    (finding,) = lint_documents(tmp_path, spec, platform)
    assert finding.rule == "secret"
    assert "exec-train.container.args[" in finding.where
    assert "hunter2" not in str(finding)


@pytest.mark.parametrize("place", [default, constant])
def test_literals_in_a_section_are_found_by_their_key(place, tmp_path):
    spec, platform = documents()
    place(spec, platform, {"user": "me", "password": "hunter2", "tokenizer": "bert"})
    (finding,) = lint_documents(tmp_path, spec, platform)
    assert (finding.rule, "hunter2" in str(finding)) == ("secret", False)
    assert "'password'" in finding.message


@pytest.mark.parametrize(
    "arguments",
    [
        ["--password", "{{$.inputs.parameters['lr']}}"],
        ["--token", "$(HF_TOKEN)"],
        ["--token=${HF_TOKEN}"],
        ["--password-file", "/run/secrets/password"],
        ["--token", "--verbose"],
        ["--tokenizer", "bert-base-uncased"],
        ["--max-token", "4096", "--max_tokens", "4096", "--pad-token", "[PAD]"],
        ["--secret-name", "my-secret"],
        ["-c", "export HF_TOKEN=$OTHER; TOKEN=$(cat token)"],
        ["-c", "import os\npassword = os.environ['DB_PASSWORD']\ntoken = None\n"],
        ["-c", "https://example.com:8080/a@b"],
        ["-c", "http://${USER}:${PASS}@proxy"],
        ["-c", "https://example.com/x?token=${TOKEN}&signature=$SIGNATURE"],
        ["sha256:" + "0123456789abcdef" * 4],
    ],
)
def test_references_and_harmless_names_are_no_secrets(arguments, tmp_path):
    spec, platform = documents()
    container(spec)["args"] += arguments
    assert lint_documents(tmp_path, spec, platform) == []


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *((name, True) for name in ("password", "DB_PASSWORD", "apiKey", "api_key", "hf-token")),
        *((name, True) for name in ("client_secret", "aws_secret_access_key", "credentials")),
        *((name, False) for name in ("tokenizer", "max_tokens", "eos_token", "token_count")),
        *((name, False) for name in ("secret_name", "key", "monkey", "keyword", "passes", "")),
    ],
)
def test_secret_names(name, secret):
    assert is_secret_name(name) is secret


def test_a_secret_is_hidden_in_other_rules_messages_too(tmp_path):
    spec, platform = documents()
    tasks(spec)["train"]["retryPolicy"]["maxRetryCount"] = SHAPED["AWS"]
    found = lint_documents(tmp_path, spec, platform)
    assert Counter(f.rule for f in found) == {"schema": 1, "secret": 1}
    assert SHAPED["AWS"] not in str(found)


# ---- size


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
    default(spec, platform, "#" * 6_000)


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


# ---- all that kfp compiles


class Pair(NamedTuple):
    number: int
    text: str


@dsl.component(base_image=IMAGE)
def numbers(n: int, out: dsl.Output[dsl.Dataset]) -> list[int]:
    return list(range(n))


@dsl.component(base_image=IMAGE, packages_to_install=["numpy==2.4.6"])
def work(x: int, text: str = "hi") -> NamedTuple("Pair", [("number", int), ("text", str)]):
    return (x, text)


@dsl.component(base_image=IMAGE)
def dataset(x: int, data: dsl.Output[dsl.Dataset]):
    pass


@dsl.component(base_image=IMAGE)
def collect(parts: dsl.Input[list[dsl.Dataset]]) -> int:
    return len(parts)


@dsl.component(base_image=IMAGE)
def read(data: dsl.Input[dsl.Dataset], weight: float = None):  # noqa: RUF013 (kfp has no unions)
    pass


@dsl.component(base_image=IMAGE)
def notify(status: dsl.PipelineTaskFinalStatus, word: str = "done"):
    pass


@dsl.container_component
def shell(a: str, model: dsl.Output[dsl.Model], loss: dsl.OutputPath(float), b: int = 1):
    flags = [dsl.IfPresentPlaceholder("b", then=["--b", b]), dsl.ConcatPlaceholder(["--a=", a])]
    return dsl.ContainerSpec(IMAGE, ["sh", "-c"], [*flags, model.path, loss, "{{$}}"])


class Inner(NamedTuple):
    value: int
    data: dsl.Dataset


@dsl.pipeline
def inner(k: int, data: dsl.Input[dsl.Dataset]) -> Inner:
    done = work(x=k)
    made = dataset(x=k).after(done)
    read(data=data)
    return Inner(done.outputs["number"], made.outputs["data"])


@dsl.pipeline(name="everything")
def everything(
    n: int = 3,
    items: list[int] = [1, 2],  # noqa: B006
    rows: list[dict] = [{"a": 1, "b": "x"}],  # noqa: B006
    uri: str = "gs://bucket/data",
    login: str = "login",
    taints: dict = {"operator": "Exists"},  # noqa: B006
    memory: str = "1Gi",
) -> int:
    with dsl.ExitHandler(notify().set_caching_options(False), name="guard"):
        made = numbers(n=n)
        with dsl.ParallelFor(items, parallelism=2) as item:
            done = work(x=item)
            part = dataset(x=done.outputs["number"])
            with dsl.If(item == 2):
                task = work(x=n)
                kubernetes.use_secret_as_env(task, login, {"password": "PASSWORD"})
                kubernetes.add_toleration_json(task, taints)
        collect(parts=dsl.Collected(part.outputs["data"]))
        imported = dsl.importer(
            artifact_uri=uri, artifact_class=dsl.Dataset, reimport=False, metadata={"n": n}
        )
        with dsl.If(work(x=n).outputs["text"] == "a"):
            first = work(x=1)
        with dsl.Elif(n == 2):
            second = work(x=2)
        with dsl.Else():
            third = work(x=3)
        text = dsl.OneOf(first.outputs["text"], second.outputs["text"], third.outputs["text"])
        shell(a=text).set_cpu_limit("2").set_retry(2)
        with dsl.If(n == 1), dsl.ParallelFor(rows) as row:
            work(x=row.a)
        with dsl.ParallelFor(made.outputs["Output"]) as number:
            work(x=number)
        nested = inner(k=n, data=made.outputs["out"])
        read(data=nested.outputs["data"]).after(nested)
        read(data=imported.output)
        volume = kubernetes.CreatePVC(
            pvc_name_suffix="-x", access_modes=["ReadWriteOnce"], size="5Gi"
        )
        user = work(x=nested.outputs["value"])
        kubernetes.mount_pvc(user, volume.outputs["name"], "/data")
        kubernetes.DeletePVC(pvc_name=volume.outputs["name"]).after(user)
    with dsl.ParallelFor([{"a": 1}]) as row:
        work(x=row.a, text=f"{n} of {uri}")
    last = work(x=5, text="a").set_memory_limit(memory).ignore_upstream_failure()
    return last.outputs["number"]


def test_nothing_is_found_in_loops_branches_importers_and_nested_pipelines(tmp_path):
    path = compiled(tmp_path, everything)
    assert len(list(yaml.safe_load_all(path.read_text()))) == 2
    assert lint(path) == []


def test_one_document_and_json_are_read(tmp_path):
    spec, _ = yaml.safe_load_all(compiled(tmp_path, everything).read_text())
    for text in (yaml.safe_dump(spec), json.dumps(spec), json.dumps(spec, indent="\t")):
        path = tmp_path / "one"
        path.write_text(text)
        # Only the platform document read these two.
        assert {f.where.rpartition(".")[2] for f in lint(path)} == {"login", "taints"}
        assert {f.rule for f in lint(path)} == {"unused-input"}


def test_an_input_that_a_sub_dag_is_given_but_does_not_use_is_unused(tmp_path):
    @dsl.pipeline
    def part(n: int, colour: str):
        work(x=n)

    @dsl.pipeline(name="outer")
    def outer(n: int, colour: str):
        part(n=n, colour=colour)

    (finding,) = lint(compiled(tmp_path, outer))
    assert (finding.rule, finding.where) == (
        "unused-input",
        "root.inputDefinitions.parameters.colour",
    )


def test_an_image_that_is_set_at_run_time_is_a_warning(tmp_path):
    @dsl.pipeline(name="image")
    def image_by_input(image: str):
        work(x=1).set_container_image(image)

    (finding,) = lint(compiled(tmp_path, image_by_input))
    assert (finding.rule, finding.severity) == ("mutable-image", "warning")


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
    findings = lint(compiled(tmp_path, pipeline))
    assert {(f.rule, f.severity) for f in findings} == {("dangling", "error")}
    assert "#13273" in findings[0].message


def test_the_remedy_for_such_loops_helps(tmp_path):
    assert lint(compiled(tmp_path, mended)) == []


def test_a_resource_from_an_input_that_kfp_does_not_pass_into_a_loop_is_found(tmp_path):
    @dsl.pipeline(name="memory")
    def memory_in_loop(memory: str):
        with dsl.ParallelFor([1, 2]) as number:
            work(x=number).set_memory_limit(memory)

    dangling, unused = lint(compiled(tmp_path, memory_in_loop))
    assert (dangling.rule, dangling.where) == ("dangling", "comp-for-loop-2/work")
    assert "'pipelinechannel--memory'" in dangling.message
    assert unused.rule == "unused-input"


# ---- output


def test_exit_status():
    warning, error = (Finding(s, "rule", "place", "what") for s in ("warning", "error"))
    assert [exit_status(f) for f in ([], [warning], [warning, error])] == [0, 1, 2]


def test_findings_are_printed_one_a_line_errors_first(tmp_path, capsys):
    spec, platform = documents()
    tasks(spec)["train"].pop("retryPolicy")
    container(spec)["image"] = "python"
    print_findings(Path("p.yaml"), lint_documents(tmp_path, spec, platform))
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith("error    mutable-image  deploymentSpec.executors.exec-train: image p")
    assert second.startswith("warning  gpu-retry      comp-exit-handler-1/train: asks for 1 x nv")
    assert last == "p.yaml: 1 error, 1 warning"
    print_findings(Path("p.yaml"), [])
    assert capsys.readouterr().out == "p.yaml: nothing found\n"


def test_the_command_prints_and_returns_the_status(tmp_path, capsys):
    assert lint_command(EXAMPLES / "good.yaml") == 0
    assert lint_command(EXAMPLES / "gpu-retry.yaml") == 1
    assert lint_command(EXAMPLES / "secret.yaml") == 2
    assert "1 warning" in capsys.readouterr().out
    assert lint_command(tmp_path / "none.yaml") == 2
    assert "none.yaml: cannot be read" in capsys.readouterr().err


def test_compile_fails_on_errors_only(capsys):
    import typer

    lint_or_fail(EXAMPLES / "good.yaml")
    assert capsys.readouterr().out == ""
    lint_or_fail(EXAMPLES / "gpu-retry.yaml")
    assert "1 warning" in capsys.readouterr().out
    with pytest.raises(typer.Exit) as caught:
        lint_or_fail(EXAMPLES / "secret.yaml")
    assert caught.value.exit_code == 2
