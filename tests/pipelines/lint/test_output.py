"""What `fourstep lint` prints, and its exit status."""

from pathlib import Path

import pytest

from cli.lint import lint_command, lint_or_fail, print_findings
from pipelines.lint import Finding, exit_status
from tests.pipelines.lint.files import EXAMPLES, container, documents, lint_documents, tasks


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
