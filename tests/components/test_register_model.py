"""The gate and the decision; the registry itself is in test_tracking_mlflow.py."""

import json
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from components.command_line import command_line_parser, parse
from components.dataset.index import write_index
from components.errors import InputError
from components.register_model import RegisterModel
from components.register_model.run import run
from components.tracking import Run


@pytest.fixture
def stage(tmp_path: Path) -> RegisterModel:
    """A model that passes the gate."""
    write_index(tmp_path / "index", [], ["cell"], "coco")
    (tmp_path / "model.onnx").write_bytes(onnx.ModelProto(ir_version=10).SerializeToString())
    (tmp_path / "evaluation.json").write_text('{"shared": {"AP": 0.59, "AP50": 0.9}}')
    (tmp_path / "validation.json").write_text('{"passed": 1.0, "max_box_error": 1e-05}')
    return RegisterModel(
        model=tmp_path / "model.onnx",
        evaluation=tmp_path / "evaluation.json",
        validation=tmp_path / "validation.json",
        index=tmp_path / "index",
        metrics=tmp_path / "metrics.json",
        scratch=tmp_path / "scratch",
    )


def test_output_is_a_function_of_the_inputs(
    stage: RegisterModel, capsys: pytest.CaptureFixture[str]
) -> None:
    run(stage, Run())
    assert json.loads(stage.metrics.read_text()) == {"passed": 1.0, "value": 0.59, "minimum": 0.0}
    assert "tracking is off" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("validation", "change", "message"),
    [
        ('{"passed": 0.0}', {}, "differs from the trained one"),
        ("{}", {}, "differs from the trained one"),
        ('{"passed": 1}', {"metric": "shared.AR"}, r"no metric 'shared.AR' \(it has .*shared.AP"),
        ('{"passed": 1}', {"minimum": 0.6}, "shared.AP 0.5900 is below the minimum of 0.6"),
    ],
)
def test_a_failed_gate_writes_nothing_and_names_the_reason(
    stage: RegisterModel, validation: str, change: dict[str, object], message: str
) -> None:
    stage.validation.write_text(validation)
    with pytest.raises(InputError, match=message):
        run(replace(stage, **change), Run())  # type: ignore[arg-type]
    assert not stage.metrics.exists()


@pytest.mark.parametrize(
    ("evaluated", "exported", "message"),
    [
        (0, 128, "evaluated on its whole image pyramid, but exported at short side 128"),
        (96, 128, "evaluated at short side 96, but exported at short side 128"),
        (96, None, "evaluated at short side 96, but exported at the one scale of its training"),
        (None, 96, "evaluated at the one scale of its training, but exported at short side 96"),
    ],
)
def test_figures_of_another_scale_are_refused(
    stage: RegisterModel, evaluated: int | None, exported: int | None, message: str
) -> None:
    for path, scale in ((stage.evaluation, evaluated), (stage.validation, exported)):
        content = json.loads(path.read_text()) | ({} if scale is None else {"scale": scale})
        path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        run(stage, Run())
    assert not stage.metrics.exists()


def test_a_metric_that_is_no_number_fails_the_gate(stage: RegisterModel) -> None:
    stage.evaluation.write_text('{"shared": {"AP": NaN}}')
    with pytest.raises(InputError, match="below the minimum"):
        run(stage, Run())


def test_command_line() -> None:
    paths = [f"--{n}={n}" for n in ("model", "evaluation", "validation", "index", "metrics")]
    assert parse(RegisterModel, [*paths, "--minimum", "0.3"]).minimum == 0.3
    assert "shared.AP" in command_line_parser(RegisterModel).format_help()
    for flag, message in (
        ("--minimum=2", "minimum: 2.0"),
        ("--model_name=a/b", "model_name: 'a/b'"),
    ):
        with pytest.raises(InputError, match=message):
            parse(RegisterModel, [*paths, flag])
