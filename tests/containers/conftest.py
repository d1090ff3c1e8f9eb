"""The images, a dozen scenes, and the whole pipeline run in containers, once.

These tests need a container engine and the images of `make images`: `make containers` runs them.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.compile import compile_pipeline, dvc_version
from pipelines.images import ROLES, references
from pipelines.local import USER, hardened, local_profile, run_in_containers
from pipelines.sections import read_sections

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "build" / "images.json"
PARAMS = Path(__file__).parent / "params.yaml"
DOCKER = os.environ.get("DOCKER", "docker")


def pytest_collection_modifyitems(items):
    if not os.environ.get("FOURSTEP_CONTAINERS"):
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(
                    pytest.mark.skip(reason="needs a container engine: make containers")
                )


def docker(*words, check=True, **options):
    """Run the engine's command."""
    done = subprocess.run([DOCKER, *map(str, words)], capture_output=True, text=True, **options)
    assert done.returncode == 0 or not check, f"{words}: {done.stderr}\n{done.stdout}"
    return done


def hardened_words(image, *command, mounts=(), flags=()):
    """The engine's arguments for a container as the pipeline's are run, by `hardened`."""
    given = hardened(USER)
    words = ["run", "--rm", "--read-only", "--network", given["network_mode"]]
    words += ["--user", given["user"], "--cap-drop", *given["cap_drop"], "--shm-size", "1g"]
    words += ["--security-opt", *given["security_opt"], "--pids-limit", given["pids_limit"]]
    words += [w for path, option in given["tmpfs"].items() for w in ("--tmpfs", f"{path}:{option}")]
    words += [w for name, value in given["environment"].items() for w in ("-e", f"{name}={value}")]
    words += [w for mount in mounts for w in ("--volume", mount)]
    return [*map(str, words), *map(str, flags), image, *map(str, command)]


def run_hardened(image, *command, mounts=(), flags=(), check=True):
    """Run a command in such a container."""
    return docker(*hardened_words(image, *command, mounts=mounts, flags=flags), check=check)


@pytest.fixture(scope="session")
def images():
    """Image by role, the workbench among them."""
    found = references(RECORD, local_tags=True)
    workbench = json.loads(RECORD.read_text())["images"]["workbench"]["reference"]
    assert set(found) == set(ROLES)
    return found | {"workbench": workbench}


@pytest.fixture(scope="session")
def scenes(tmp_path_factory, images):
    """A folder with data/ of a dozen scenes and the data.dvc that `dvc add` writes of it."""
    from cli.demo_data import make_demo_data

    folder = tmp_path_factory.mktemp("scenes")
    folder.chmod(0o755)  # the containers' user reads it
    make_demo_data(folder / "data", train_images=12, test_images=6)
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], cwd=folder, check=True)
    subprocess.run(["dvc", "add", "--quiet", "data"], cwd=folder, check=True)
    return folder


@dataclass
class Pipeline:
    """The compiled pipeline for this machine, and where it runs."""

    scenes: Path
    images: dict
    root: Path

    def compile(self, settings=(), images=None, data=None, version=None):
        path = self.root / ".four_step.yaml"
        compile_pipeline(
            path,
            sections=read_sections(PARAMS, settings),
            version=version or dvc_version(self.scenes / "data.dvc"),
            images=images or self.images,
            profile=local_profile(data or self.scenes / "data"),
        )
        return path

    def run(self, **changes):
        return {run.task: run for run in run_in_containers(self.compile(**changes), self.root)}


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory, scenes, images):
    """A pipeline to run; its root has the cache."""
    return Pipeline(scenes, images, tmp_path_factory.mktemp("kubeflow"))


@pytest.fixture(scope="session")
def first_run(pipeline):
    """The tasks of the first run, by name."""
    return pipeline.run()
