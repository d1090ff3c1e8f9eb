from pathlib import Path

import pytest
import yaml

from components.errors import InputError
from pipelines.sections import PIPELINES, check_params

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "params.yaml", *sorted((ROOT / "presets").glob("*.yaml"))]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_committed_settings_are_right(path):
    stages = check_params(path)
    assert stages["finetune_rpn"].part == "rpn"
    assert stages["finetune_detector"].part == "detector"
    # What was validated is what is deployed.
    assert stages["evaluate"].detection == stages["export_onnx"].detection
    assert stages["evaluate"].proposals == stages["export_onnx"].proposals


def test_the_vgg16_preset_is_the_papers_run():
    stages = check_params(ROOT / "presets" / "voc07_vgg16.yaml")
    for name, iterations, drop, images in (
        ("train_rpn", 80000, 60000, 1),
        ("train_detector", 40000, 30000, 2),
        ("finetune_rpn", 80000, 60000, 1),
        ("finetune_detector", 40000, 30000, 2),
    ):
        solver = stages[name].solver
        assert (solver.iterations, solver.lr_drops) == (iterations, (drop,))
        assert solver.images_per_batch == images
        assert (solver.optimizer, solver.lr, solver.momentum) == ("sgd", 0.001, 0.9)
        assert solver.weight_decay == 0.0005
    assert stages["train_detector"].roi.operator == "pool"
    assert stages["train_rpn"].targets.anchors_per_image == 256


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        (
            "train_rpn",
            {"solver": {"lrr": 0.1}},
            r"train_rpn\.solver\.lrr: unknown; did you mean 'solver\.lr'",
        ),
        ("train_rpn", {"solver": {"lr": -1}}, r"train_rpn\.solver\.lr: -1\.0 is not allowed"),
        ("train_rpn", {"solver": {"lr": "fast"}}, r"train_rpn\.solver\.lr: .*'fast'"),
        ("train_rpn", {"solver": {"lr_drops": []}}, r"train_rpn\.solver\.lr_drops: is empty"),
        (
            "train_rpn",
            {"targets": {"negative_iou": 0.9}},
            r"train_rpn\.targets\.negative_iou: 0\.9",
        ),
        ("train_detector", {"roi": {"operator": "crop"}}, r"train_detector\.roi\.operator.*'crop'"),
        ("finetune_rpn", {"part": "both"}, r"finetune_rpn\.part: .*'both'"),
        ("validate_data", {"on_bad_box": "ignore"}, r"validate_data\.on_bad_box: .*'ignore'"),
        ("train_rnp", {}, r"unknown section 'train_rnp'; did you mean 'train_rpn'"),
    ],
)
def test_errors_name_file_section_key_and_value(tmp_path, section, change, message):
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings[section] = change
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(InputError, match=r"params\.yaml: " + message):
        check_params(tmp_path / "params.yaml")


def test_a_missing_section_is_named(tmp_path):
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    del settings["evaluate"]
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(InputError, match="section 'evaluate' is missing"):
        check_params(tmp_path / "p.yaml")


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", ""])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(InputError, match=r"p\.yaml: "):
        check_params(tmp_path / "p.yaml")


def test_settings_for_the_four_steps_alone_are_whole(tmp_path):
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    del sections["train_joint"]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(sections))
    assert set(check_params(path)) == set(PIPELINES["four-step"])


def test_a_classifier_without_box_regression_can_be_trained(tmp_path):
    """A stage has more inputs than the pipelines give it, such as a classifier's box regressors."""
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    sections["train_detector"].setdefault("targets", {})["box_loss_weight"] = 0
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(sections))
    assert check_params(path)["train_detector"].targets.box_loss_weight == 0
