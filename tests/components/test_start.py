"""What a stage imports before its work begins: nothing that it has no use for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.lazy_dynamo import NAME, LazyUtils, lazy_dynamo

ROOT = Path(__file__).parents[2]
HEAVY = {
    *("dvc", "great_expectations", "jinja2", "kfp", "matplotlib", "mlflow", "numpy", "onnx"),
    *("onnxruntime", "onnxscript", "pandas", "PIL", "psutil", "pyarrow", "pycocotools"),
    *("requests", "scipy", "sklearn", "sympy", "torch", "torch._dynamo", "torchvision", "yaml"),
}
TRAINING = {"jinja2", "numpy", "PIL", "pyarrow", "torch", "torchvision"}
USED = {
    "init_backbone": TRAINING - {"jinja2"},
    "train_rpn": TRAINING,
    "generate_proposals": TRAINING,
    "train_detector": TRAINING,
    "finetune": TRAINING,
    "evaluate": TRAINING | {"pycocotools"},
    "register_model": {"numpy", "pyarrow"},
    "validate_data": {"jinja2", "numpy", "pandas", "PIL", "pyarrow"},
    "export_onnx": {"numpy", "onnx", "PIL", "torch", "torchvision"},
    "check_data": set(),
    "fetch_data": set(),
}
"""What each stage may have imported. validate_onnx's libraries bring half of the list."""
LISTED = """
import json, sys
from importlib import import_module
from components.lazy_dynamo import lazy_dynamo
from components.tracking import track
with lazy_dynamo():
    import_module(f"components.{sys.argv[1]}.run")
print(json.dumps(sorted(sys.modules)))
"""
HELP = """
import json, sys
from components.main import main
try:
    main(sys.argv[1], ["--help"])
finally:
    print(json.dumps(sorted(sys.modules)))
"""


def imported(code: str, stage: str) -> set[str]:
    command = [sys.executable, "-c", code, stage]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("stage", USED)
def test_a_stage_imports_only_what_it_uses(stage):
    pytest.importorskip("torch")
    assert imported(LISTED, stage) & HEAVY <= USED[stage]


@pytest.mark.parametrize("stage", [*USED, "validate_onnx"])
def test_help_imports_nothing_heavy(stage):
    assert not imported(HELP, stage) & HEAVY


def test_torch_dynamo_is_there_as_soon_as_it_is_used():
    """The function that torchvision holds, and the module under its own name."""
    code = f"""
import torch
from components.lazy_dynamo import lazy_dynamo
with lazy_dynamo():
    import torchvision
import sys
assert "torch._dynamo" not in sys.modules
asked = torchvision.ops.roi_align.__globals__["is_compile_supported"]("cpu")
import torch._dynamo
assert sys.modules["{NAME}"] is torch._dynamo.utils
assert asked is torch._dynamo.utils.is_compile_supported("cpu")
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)) == 2
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_whoever_imports_torch_dynamo_meanwhile_gets_the_real_one():
    code = """
import torch
from components.lazy_dynamo import lazy_dynamo
with lazy_dynamo():
    import torchvision
    import torch._dynamo
assert torch._dynamo.utils.counters is not None
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)) == 2
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_real_module_is_left_alone(monkeypatch):
    real = LazyUtils(NAME)
    monkeypatch.setitem(sys.modules, NAME, real)
    with lazy_dynamo():
        assert sys.modules[NAME] is real
    assert sys.modules[NAME] is real
