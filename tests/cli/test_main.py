import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def fourstep(*arguments, cwd=ROOT):
    code = "from cli.main import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env={"PYTHONPATH": str(ROOT)}, check=False
    )


def test_help_names_all_commands():
    shown = fourstep("--help").stdout
    for command in (
        "demo-data",
        "check",
        "compile",
        "submit",
        "lint",
        "predict",
        "doctor",
        "track",
    ):
        assert command in shown


def test_check_writes_the_same_list_for_other_values(tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    first = fourstep("check", "--write", tmp_path / "a", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    settings = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(settings.replace("lr: 0.001", "lr: 0.002", 1))
    assert fourstep("check", "--write", tmp_path / "b", cwd=tmp_path).returncode == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_errors_have_no_traceback(tmp_path):
    failed = fourstep("check", tmp_path / "nowhere.yaml")
    assert failed.returncode == 1
    assert failed.stderr.startswith("fourstep: ")
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize("passed", [1.0, 0.0])
def test_summary_prints_both_networks(tmp_path, passed):
    figures = dict.fromkeys(("AP", "AP50", "AP75", "AP50_all_points", "AP50_11_point"), 0.25)
    half = dict.fromkeys(figures, 0.5)
    for stage, metrics in (
        ("evaluate", {"shared": half, "unshared": figures}),
        ("validate_onnx", {"passed": passed}),
    ):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "metrics.json").write_text(json.dumps(metrics))
    shown = fourstep("summary", tmp_path).stdout
    assert "0.500      0.250" in shown
    assert f"ONNX equals PyTorch: {'yes' if passed else 'no'}" in shown


def test_summary_before_the_end_says_what_to_do(tmp_path):
    failed = fourstep("summary", tmp_path)
    assert failed.returncode == 1
    assert "run `dvc repro` to its end first" in failed.stderr
