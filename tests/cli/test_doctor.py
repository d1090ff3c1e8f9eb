import http.server
import sqlite3
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import pytest

from cli import doctor as module
from cli.doctor import (
    Check,
    check_data,
    check_disk,
    check_dvc,
    check_gpu,
    check_mlflow,
    check_package,
    check_packages,
    check_python,
    doctor,
    print_checks,
)


@pytest.fixture
def server():
    """A server that answers every GET with 200."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()

        def log_message(self, *values):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://me:secret@127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_every_line_that_is_not_ok_has_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    checks = doctor(tmp_path)
    assert {"Python", "torch", "GPU", "DVC", "data", "MLflow", "disk"} <= {c.name for c in checks}
    assert all(check.remedy for check in checks if check.status != "ok")


def test_nothing_heavy_is_imported():
    heavy = "{'torch', 'numpy', 'pandas', 'mlflow', 'dvc', 'onnxruntime'}"
    code = (  # an empty PATH: no nvidia-smi, so torch is not asked for a GPU
        "import os, sys, cli.doctor as d; os.environ['PATH'] = ''; d.doctor(); "
        f"print({heavy} & set(sys.modules))"
    )
    root = Path(module.__file__).parents[1]
    answer = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert answer.stdout.strip() == "set()", answer.stderr


def test_python(monkeypatch):
    assert check_python().status == "ok"
    monkeypatch.setattr(module, "PYTHON", (99, 0))
    assert check_python().status == "fail"


def test_packages(monkeypatch):
    assert check_package("numpy").status == "ok"
    assert check_package("no-such-distribution").status == "fail"
    versions = {"onnxruntime": "1", "onnxruntime-gpu": "1"}
    monkeypatch.setattr(module, "version", versions.get)
    assert check_packages()[-1].found == "installed beside onnxruntime-gpu"


@pytest.mark.parametrize(
    ("script", "status", "found"),
    [
        ("echo 'H100, 80000 MiB, 555.1'", "ok", "H100, 80000 MiB, 555.1"),
        ("true", "warn", "none"),
        ("exit 9", "warn", "nvidia-smi fails"),
        (None, "warn", "none, "),
    ],
)
def test_gpu(tmp_path, monkeypatch, script, status, found):
    monkeypatch.setattr(module, "torch_has_gpu", lambda: True)
    if script is not None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    check = check_gpu()
    assert check.status == status
    assert check.found.startswith(found)


def test_gpu_that_torch_cannot_use(tmp_path, monkeypatch):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho H100\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "torch_has_gpu", lambda: False)
    check = check_gpu()
    assert (check.status, check.found) == ("warn", "H100, but torch cannot use it")


def test_dvc(tmp_path):
    assert check_dvc(tmp_path).remedy == "run `dvc init`"
    (tmp_path / ".dvc").mkdir()
    assert check_dvc(tmp_path).found == "no dvc.yaml"
    (tmp_path / "dvc.yaml").touch()
    assert check_dvc(tmp_path).status == "ok"


def test_data(tmp_path):
    assert "demo-data" in check_data(tmp_path).remedy
    (tmp_path / "data").mkdir()
    assert check_data(tmp_path).status == "fail"
    (tmp_path / "data" / "annotations").mkdir()
    assert check_data(tmp_path) == Check("data", "ok", "annotations")


def test_mlflow_server(server, tmp_path):
    check = check_mlflow(server, tmp_path)
    assert check.status == "ok"
    assert "secret" not in check.found


def test_mlflow_server_that_is_down(tmp_path):
    check = check_mlflow("http://127.0.0.1:9", tmp_path)
    assert check.status == "warn"
    assert "MLFLOW_TRACKING_URI" in check.remedy


def test_mlflow_database(tmp_path):
    uri = "sqlite:///mlflow.db"
    assert "made on the first run" in check_mlflow(uri, tmp_path).found
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("CREATE TABLE runs (id)")
        connection.execute("INSERT INTO runs VALUES (1)")
    assert check_mlflow(uri, tmp_path) == Check("MLflow", "ok", f"{uri}, 1 runs")
    (tmp_path / "mlflow.db").write_text("no database at all" * 100)
    assert check_mlflow(uri, tmp_path).status == "warn"
    assert check_mlflow("sqlite:///no/folder/mlflow.db", tmp_path).status == "warn"


@pytest.mark.parametrize(("gib", "status"), [(50, "ok"), (5, "warn"), (0.5, "fail")])
def test_disk(tmp_path, monkeypatch, gib, status):
    usage = namedtuple("usage", "free")(int(gib * 2**30))
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    assert check_disk(tmp_path).status == status


def test_lines(capsys):
    assert print_checks([Check("disk", "ok", "9 GiB"), Check("GPU", "warn", "none", "buy one")])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["ok    disk  9 GiB", "warn  GPU   none", "            -> buy one"]
    assert not print_checks([Check("disk", "fail", "0 GiB", "free some")])
