"""Each image: what is in it, and what a container of it cannot do."""

import json

import pytest

from components.contract import load_stage
from pipelines.images import ROLES
from pipelines.sections import STAGES
from tests.containers.conftest import docker, run_hardened

INSTALLED = {
    "data": {"great_expectations", "dvc", "dvc_s3", "mlflow"},
    "train": {"torch", "torchvision", "mlflow"},
    "onnx": {"torch", "onnx", "onnxruntime", "onnxscript", "mlflow"},
    "register": {"onnx", "mlflow"},
}
HEAVY = {"torch", "great_expectations", "dvc", "onnxruntime", "kfp", "pip", "uv"}
LOOK = """
import importlib.util, json, sys
print(json.dumps([m for m in sys.argv[1:] if importlib.util.find_spec(m)]))
"""


def importable(image, names):
    done = run_hardened(image, "python", "-c", LOOK, *sorted(names))
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_its_packages_and_no_other_roles(images, role):
    wanted = INSTALLED[role]
    assert importable(images[role], wanted | HEAVY) == wanted


@pytest.mark.parametrize("role", [*ROLES, "workbench"])
def test_no_entrypoint_and_no_root(images, role):
    config = json.loads(docker("image", "inspect", images[role]).stdout)[0]["Config"]
    assert not config["Entrypoint"]
    assert config["User"] == "1000:1000"


@pytest.mark.parametrize("role", ROLES)
def test_a_container_cannot_change_its_code(images, role):
    for place in ("/opt/fourstep/models/x", "/opt/venv/x", "/etc/x"):
        assert run_hardened(images[role], "touch", place, check=False).returncode
    assert run_hardened(images[role], "id", "-u").stdout.strip() == "1000"
    status = run_hardened(images[role], "cat", "/proc/self/status").stdout
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_starts_in_its_image(images, stage):
    image = images[load_stage(stage).resources.image]
    done = run_hardened(image, "python", "-m", f"components.{stage}", "--help")
    assert f"python -m components.{stage}" in done.stdout


def test_roles_share_their_layers(images):
    def layers(role):
        return json.loads(docker("image", "inspect", images[role]).stdout)[0]["RootFS"]["Layers"]

    assert layers("onnx")[: len(layers("train")) - 2] == layers("train")[:-2]
    bottom = {tuple(layers(role)[:3]) for role in ROLES}
    assert len(bottom) == 1
