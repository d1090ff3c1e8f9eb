"""Make the linter's examples: compile a good pipeline with kfp, then break one thing a file.

python tests/pipelines/broken/make.py
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl, kubernetes

FOLDER = Path(__file__).parent
IMAGE = "registry.example.com/team/train@sha256:" + "0123456789abcdef" * 4
SPEC, PLATFORM = 0, 1


@dsl.container_component
def prepare(size: int, data: dsl.Output[dsl.Dataset]):
    """Make data."""
    return dsl.ContainerSpec(IMAGE, ["python", "prepare.py"], ["--size", size, "--to", data.path])


@dsl.container_component
def train(lr: float, data: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model]):
    """Train a model."""
    flags = ["--lr", lr, "--data", data.path, "--model", model.path]
    return dsl.ContainerSpec(IMAGE, ["python", "train.py"], flags)


@dsl.container_component
def tidy_up():
    """Remove scratch files."""
    return dsl.ContainerSpec(IMAGE, ["python", "tidy_up.py"])


@dsl.pipeline(name="good")
def good(size: int = 100, lr: float = 0.001):
    """Prepare data, train on a GPU, and tidy up whatever happens."""
    last = tidy_up()
    last.set_caching_options(False)
    with dsl.ExitHandler(last):
        data = prepare(size=size)
        task = train(lr=lr, data=data.outputs["data"])
        task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(1)
        task.set_retry(2, "60s", backoff_factor=2, backoff_max_duration="604800s")
        task.set_env_variable("OMP_NUM_THREADS", "4")
        kubernetes.use_secret_as_env(task, "tracking", {"password": "MLFLOW_TRACKING_PASSWORD"})
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit="2Gi")
        kubernetes.set_timeout(task, 86400)
        kubernetes.add_toleration(task, key="nvidia.com/gpu", operator="Exists")


def config(documents: list[Any]) -> dict[str, Any]:
    """The platform configuration of the training."""
    return documents[PLATFORM]["platforms"]["kubernetes"]["deploymentSpec"]["executors"][
        "exec-train"
    ]


def tasks(documents: list[Any], component: str = "comp-exit-handler-1") -> dict[str, Any]:
    """The tasks of a DAG."""
    components = {"root": documents[SPEC]["root"], **documents[SPEC]["components"]}
    return components[component]["dag"]["tasks"]


def container(documents: list[Any], name: str) -> dict[str, Any]:
    """The container of an executor."""
    return documents[SPEC]["deploymentSpec"]["executors"][f"exec-{name}"]["container"]


def inputs(documents: list[Any]) -> dict[str, Any]:
    """The pipeline's parameters."""
    return documents[SPEC]["root"]["inputDefinitions"]["parameters"]


def number(value: Any = None) -> dict[str, Any]:
    """A parameter of the pipeline."""
    return {"parameterType": "STRING", "isOptional": True, "defaultValue": value}


def long_default(documents: list[Any]) -> None:
    """A parameter longer than the server takes, and used."""
    inputs(documents)["lr"]["defaultValue"] = "0" * 10_001


def secret(documents: list[Any]) -> None:
    """An access key in the environment: the one that AWS's own documentation shows."""
    container(documents, "train")["env"].append({"name": "KEY_ID", "value": "AKIAIOSFODNN7EXAMPLE"})


def equal_container(documents: list[Any]) -> None:
    """Two components with the same container, of which one has other outputs."""
    image = container(documents, "prepare")["image"]
    for executor in ("exec-prepare", "exec-train"):
        same = {"image": image, "command": ["run"], "args": ["{{$}}"]}
        documents[SPEC]["deploymentSpec"]["executors"][executor] = {"container": same}


BREAK = {
    "schema": lambda d: tasks(d)["train"].update(cachingOption={"enableCache": True}),
    "dangling": lambda d: tasks(d)["train"].update(dependentTasks=["prepare", "download"]),
    "unused-input": lambda d: inputs(d).update(colour=number("red")),
    "gpu-shm": lambda d: config(d).pop("emptyDirMounts"),
    "gpu-timeout": lambda d: config(d).pop("activeDeadlineSeconds"),
    "gpu-retry": lambda d: tasks(d)["train"].pop("retryPolicy"),
    "retry": lambda d: tasks(d)["train"]["retryPolicy"].update(backoffFactor=2.5),
    "gpu-toleration": lambda d: config(d).pop("tolerations"),
    "mutable-image": lambda d: container(d, "prepare").update(image="python:latest"),
    "equal-containers": equal_container,
    "secret": secret,
    "size": long_default,
    "cached-exit-handler": lambda d: tasks(d, "root")["tidy-up"].update(
        cachingOptions={"enableCache": True}
    ),
}


def main() -> None:
    """Write good.yaml and one broken file a rule."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "good.yaml"
        compiler.Compiler().compile(good, str(package))
        text = package.read_text()
    (FOLDER / "good.yaml").write_text(text)
    for rule, break_it in BREAK.items():
        documents = list(yaml.safe_load_all(text))
        break_it(documents)
        (FOLDER / f"{rule}.yaml").write_text(yaml.safe_dump_all(documents))


if __name__ == "__main__":
    sys.exit(main())
