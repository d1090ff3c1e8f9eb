import dataclasses
import json
import sys
import types
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_type_hints

import pytest

from components import main as stage_main
from components.command_line import arguments, build, command_line_parser, field_docs, parse
from components.contract import (
    Input,
    Output,
    Resources,
    Scratch,
    load_stage,
    parameters,
    paths,
    roles,
    stage_name,
)
from components.errors import InputError
from components.main import check_inputs
from components.outputs import whole_outputs
from components.tracking import Run
from pipelines.sections import STAGE_OF


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A group."""

    lr: float = 0.1
    """Learning rate."""
    drops: tuple[int, ...] = (1, 2)
    """When it drops."""

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"lr: {self.lr} is not allowed")


@dataclass(frozen=True, kw_only=True, slots=True)
class ToyStage:
    """A stage for the tests."""

    resources: ClassVar[Resources] = Resources()

    data: Annotated[Path, Input("Dataset")]
    """Data."""
    extra: Annotated[Path | None, Input("Dataset")] = None
    """More data."""
    model: Annotated[Path, Output("Model")]
    """Model, 100 % whole."""
    scratch: Annotated[Path, Scratch()]
    """Scratch."""
    mode: Literal["a", "b"] = "a"
    """Mode."""
    flip: bool = True
    """Whether to flip."""
    solver: Group = field(default_factory=lambda: Group(lr=0.5))


def toy(tmp_path: Path, *extra: str) -> ToyStage:
    given = ["--data", "d", "--model", str(tmp_path / "out" / "m"), "--scratch", "s"]
    return parse(ToyStage, [*given, *extra])


def test_names_roles_and_flat_parameters(tmp_path):
    stage = toy(tmp_path)
    assert stage_name(stage) == "toy_stage"
    assert paths(stage, Input) == {"data": Path("d")}
    assert list(paths(stage, Output)) == ["model"]
    assert parameters(stage) == {
        "mode": "a",
        "flip": True,
        "solver.lr": 0.5,
        "solver.drops": [1, 2],
    }


def test_groups_keep_their_own_defaults_beside_given_values(tmp_path):
    assert parameters(toy(tmp_path, "--solver.drops", "7"))["solver.lr"] == 0.5
    assert toy(tmp_path, "--solver.drops", "7", "8").solver.drops == (7, 8)


def test_flags_are_those_that_dvc_writes(tmp_path):
    section = {"mode": "b", "flip": False, "solver": {"lr": 0.25, "drops": [3, 4]}}
    flags = arguments(section)
    assert flags == ["--mode", "b", "--no-flip", "--solver.lr", "0.25", "--solver.drops", "3", "4"]
    stage = toy(tmp_path, *flags)
    assert (stage.mode, stage.flip, stage.solver.lr, stage.solver.drops) == (
        "b",
        False,
        0.25,
        (3, 4),
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--solver.lrr", "1"], r"unrecognized arguments: --solver\.lrr"),
        (["--mode", "c"], "--mode.*'c'"),
        (["--solver.lr", "x"], r"--solver\.lr.*'x'"),
        (["--solver.lr", "-1"], r"solver\.lr: -1\.0 is not allowed"),
    ],
)
def test_errors_name_the_flag_and_the_value(tmp_path, flags, message):
    with pytest.raises(InputError, match=message):
        toy(tmp_path, *flags)


def test_help_shows_docs_and_defaults():
    text = command_line_parser(ToyStage).format_help()
    assert "Learning rate. (default: 0.5)" in text
    assert "(output) Model, 100 % whole." in text
    assert "A stage for the tests." in text


def test_outputs_appear_whole_or_not_at_all(tmp_path):
    stage = toy(tmp_path)
    stage.model.parent.mkdir()
    stage.model.write_text("old")

    def fail():
        with whole_outputs(stage) as aside:
            aside.model.write_text("half")
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    assert [p.read_text() for p in stage.model.parent.iterdir()] == ["old"]
    with whole_outputs(stage) as aside:
        aside.model.mkdir()
        (aside.model / "part").write_text("new")
        assert stage.model.read_text() == "old"
    assert (stage.model / "part").read_text() == "new"
    assert len(list(stage.model.parent.iterdir())) == 1


def test_an_output_that_was_not_written_is_an_error(tmp_path):
    with (
        pytest.raises(RuntimeError, match="did not write its output 'model'"),
        whole_outputs(toy(tmp_path)),
    ):
        pass


def test_missing_input_is_named(tmp_path):
    with pytest.raises(InputError, match="--data d: no such file"):
        check_inputs(toy(tmp_path))


def test_main_runs_publishes_and_clears_unfinished_work(tmp_path, monkeypatch):
    module = types.ModuleType("components.toy_stage.run")

    def run(stage, run):
        (stage.scratch / "unfinished").mkdir(parents=True)
        stage.model.write_text(json.dumps(parameters(stage)))

    module.run = run
    monkeypatch.setitem(sys.modules, "components.toy_stage.run", module)
    monkeypatch.setattr(stage_main, "load_stage", lambda name: ToyStage)
    (tmp_path / "d").mkdir()
    flags = ["--data", tmp_path / "d", "--model", tmp_path / "m", "--scratch", tmp_path / "s"]
    stage_main.main("toy_stage", [*map(str, flags), "--mode", "b"])
    assert json.loads((tmp_path / "m").read_text())["mode"] == "b"
    assert not (tmp_path / "s" / "unfinished").exists()
    with pytest.raises(SystemExit, match="toy_stage: --data nowhere"):
        stage_main.main("toy_stage", ["--data", "nowhere", "--model", "m", "--scratch", "s"])


def test_a_refusal_is_said_before_mlflow_has_the_run(tmp_path, monkeypatch, capsys):
    said = []

    @contextmanager
    def track(stage):
        try:
            yield Run()
        except SystemExit:
            said.append(capsys.readouterr().err)
            raise

    def run(stage, run):
        raise InputError("box 3 is none")

    module = types.ModuleType("components.toy_stage.run")
    module.run = run
    monkeypatch.setitem(sys.modules, "components.toy_stage.run", module)
    monkeypatch.setattr(stage_main, "load_stage", lambda name: ToyStage)
    monkeypatch.setattr("components.tracking.track", track)
    flags = ["--data", tmp_path, "--model", tmp_path / "m", "--scratch", tmp_path / "s"]
    with pytest.raises(SystemExit, match="toy_stage: box 3 is none") as ended:
        stage_main.main("toy_stage", [*map(str, flags), "--mode", "b"])
    assert ended.value.code == 1
    assert said == ["toy_stage: box 3 is none\n"]
    assert capsys.readouterr().err == ""


def test_building_from_flat_values():
    stage = build(ToyStage, {"data": Path("d"), "model": Path("m"), "scratch": Path("s")})
    assert stage.solver == Group(lr=0.5)


@pytest.mark.parametrize("name", sorted(set(STAGE_OF.values())))
def test_every_stage_documents_every_field(name):
    def check(cls):
        docs = field_docs(cls)
        hints = get_type_hints(cls)
        for item in dataclasses.fields(cls):
            if dataclasses.is_dataclass(hints[item.name]):
                check(hints[item.name])
            else:
                assert docs.get(item.name), f"{cls.__name__}.{item.name} has no docstring"

    stage = load_stage(name)
    check(stage)
    assert isinstance(stage.resources, Resources)
    assert {"metrics"} <= set(roles(stage))
