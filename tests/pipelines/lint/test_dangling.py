"""References to nothing, one at a time."""

import pytest

from tests.pipelines.lint.files import LOOP, configs, container, documents, lint_documents, tasks


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
        "an IfPresent asks for input 'seed'",
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
