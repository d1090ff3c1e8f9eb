"""What submit makes on the server, and what it refuses to send."""

import subprocess
import sys
from pathlib import Path

import kfp_server_api as api
import pytest

from components.errors import InputError
from tests.pipelines.kfp_server import KfpServer
from tests.pipelines.submit.calls import PARAMETERS, submit


def test_submit_uploads_starts_and_prints_the_link(
    kfp: KfpServer, package: Path, capsys: pytest.CaptureFixture, clean_environment: Path
) -> None:
    kfp.add_experiment("Tuning")
    status = submit(kfp, package, experiment="Tuning", run_name="mine", service_account="trainer")
    out = capsys.readouterr().out
    assert status == 0
    assert "version v-4fe5 uploaded" in out
    assert f"run 'mine': {kfp.url}/#/runs/details/run-0" in out
    assert f"fourstep watch run-0 --host {kfp.url}" in out
    (run,) = kfp.runs
    assert run.display_name == "mine"
    assert run.experiment_id == "exp-0"
    assert run.service_account == "trainer"
    assert run.runtime_config.parameters == PARAMETERS
    (uploaded,) = [r for r in kfp.requests if r.path.endswith("upload_version")]
    assert uploaded.body == package.read_bytes()
    assert not list(clean_environment.iterdir())  # no ~/.config/kfp


def test_a_version_that_is_there_is_used_again(
    kfp: KfpServer, package: Path, capsys: pytest.CaptureFixture
) -> None:
    for _ in range(2):
        submit(kfp, package)
    submit(kfp, package, version="v-other")
    assert "version v-4fe5 was there already" in capsys.readouterr().out
    assert kfp.posts("/upload_version") == 2
    assert kfp.posts("/pipelines") == 1
    used = [r.pipeline_version_reference.pipeline_version_id for r in kfp.runs]
    assert used == ["version-0", "version-0", "version-1"]


def test_what_is_looked_for_is_found_on_a_later_page(kfp: KfpServer, package: Path) -> None:
    for name in ("a", "b", "c", "Default", "d"):
        kfp.add_experiment(name)
    submit(kfp, package)
    assert kfp.runs[0].experiment_id == "exp-3"
    assert len(kfp.experiments) == 5


def test_the_default_experiment_is_made_if_it_is_missing(kfp: KfpServer, package: Path) -> None:
    submit(kfp, package)
    submit(kfp, package)
    assert [e.display_name for e in kfp.experiments] == ["Default"]


def test_a_server_for_one_user_is_sent_no_namespace(kfp: KfpServer, package: Path) -> None:
    assert submit(kfp, package, {"namespace": "team"}) == 0
    assert not any("namespace" in r.query for r in kfp.requests)


def test_the_ui_may_have_another_address(
    kfp: KfpServer, package: Path, capsys: pytest.CaptureFixture
) -> None:
    submit(kfp, package, {"ui": "https://ui.example.org/pipeline/"})
    assert "https://ui.example.org/pipeline/#/runs/details/run-0" in capsys.readouterr().out


def test_an_unknown_experiment(kfp: KfpServer, package: Path) -> None:
    kfp.add_experiment("Default")
    kfp.add_experiment("Old", state="ARCHIVED")
    kfp.add_experiment("Tuning")  # on the second page
    with pytest.raises(InputError, match="no experiment 'tunning'; did you mean") as caught:
        submit(kfp, package, experiment="tunning")
    assert "did you mean 'Tuning'?" in str(caught.value)
    with pytest.raises(InputError, match="no experiment 'xyz'; known are Default, Tuning"):
        submit(kfp, package, experiment="xyz")
    with pytest.raises(InputError, match="'Old' is archived"):
        submit(kfp, package, experiment="Old")
    assert kfp.posts("") == 0


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"data_versoin": "x"}, ["no parameter 'data_versoin'", "did you mean 'data_version'"]),
        ({"zzz": 1}, ["no parameter 'zzz'", "data_version, epochs, shared, train_rpn"]),
    ],
)
def test_a_parameter_that_the_pipeline_does_not_have(
    kfp: KfpServer, package: Path, parameters: dict, words: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        submit(kfp, package, parameters=parameters)
    assert all(word in str(caught.value) for word in [str(package), *words])
    assert not kfp.requests


def test_a_parameter_that_the_server_refuses(kfp: KfpServer, package: Path) -> None:
    """The version of that name on the server was made from another pipeline."""
    submit(kfp, package)
    kfp.versions[0].pipeline_spec["root"]["inputDefinitions"]["parameters"].pop("train_rpn")
    with pytest.raises(InputError, match=r"refuses the run.*400: .*parameter train_rpn is not"):
        submit(kfp, package)
    assert kfp.posts("/runs") == 2


def test_a_pipeline_that_the_server_refuses(kfp: KfpServer, package: Path) -> None:
    kfp.refuse_package = "Failed to create a pipeline version: Invalid input error: no root"
    with pytest.raises(InputError, match=f"{package}: the server refuses.*no root") as caught:
        submit(kfp, package)
    assert "stack trace" not in str(caught.value)
    assert kfp.posts("/upload_version") == 1


def test_a_version_that_holds_an_error(kfp: KfpServer, package: Path) -> None:
    submit(kfp, package)
    kfp.versions[0].error = api.GoogleRpcStatus(code=3, message="cannot be compiled")
    with pytest.raises(InputError, match="cannot use version v-4fe5: cannot be compiled"):
        submit(kfp, package)


def test_two_pipelines_of_one_name(kfp: KfpServer, package: Path) -> None:
    submit(kfp, package)
    kfp.pipelines.append(api.V2beta1Pipeline("pipe-1", display_name="echo-twice"))
    with pytest.raises(InputError, match="2 pipelines have the name 'echo-twice'"):
        submit(kfp, package)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.yaml", "a: 1", "no compiled pipeline"),
        ("x.yaml", "a: [", "is no YAML"),
        ("x.yaml", "", "is empty"),
        ("x.yaml", "pipelineInfo: {}\nroot: {}", "has no name"),
        ("x.yaml", "pipelineInfo: {name: x}\nroot:", "no compiled pipeline: no root"),
        ("x.yaml", None, "cannot be read"),
        ("x.txt", "a: 1", r"ends in \.yaml"),
    ],
)
def test_a_file_that_is_no_pipeline(
    kfp: KfpServer, tmp_path: Path, name: str, content: str | None, words: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=f"{path}: .*{words}"):
        submit(kfp, path)


def test_the_command_imports_nothing_heavy() -> None:
    code = "import sys, cli.submit; print({'kfp', 'torch', 'kubernetes'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
