"""Files that do not belong together are refused by name before a stage works with them."""

from dataclasses import replace

import pytest

from components.command_line import parse
from components.contract import load_stage, roles
from components.dataset.index import read_index
from components.errors import InputError
from components.main import work_of
from components.networks.checkpoint import save_checkpoint
from components.tracking import Run
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import AnchorParameters, InputParameters, RoIHeadParameters

ANCHORS = AnchorParameters(scales=(0.5, 1.0), ratios=(1.0,))
ROI = RoIHeadParameters(operator="align", size=5)


@pytest.fixture(scope="module")
def files(tmp_path_factory, demo_index):
    """Checkpoints of every kind, by name, and files that are cut short or something else."""
    folder = tmp_path_factory.mktemp("files")
    rule = InputParameters(short_side=64, long_side=80)
    whole = Architecture(
        backbone="tiny",
        norm="frozen",
        classes=demo_index.classes,
        input=rule,
        anchors=ANCHORS,
        roi=ROI,
    )
    swapped = (*whole.classes[1::-1], *whole.classes[2:])
    architectures = {
        "whole": whole,
        "no_rpn": replace(whole, anchors=None),
        "no_detector": replace(whole, roi=None),
        "other_names": replace(whole, classes=tuple(f"new {c}" for c in whole.classes)),
        "fewer_classes": replace(whole, classes=whole.classes[:-1]),
        "other_order": replace(whole, classes=swapped),
        "other_backbone": replace(whole, backbone="mobilenet_v2"),
        "other_norm": replace(whole, norm="batch"),
        "other_input": replace(whole, input=InputParameters(short_side=96, long_side=120)),
    }
    for name, architecture in architectures.items():
        tensors = FasterRCNN(architecture).state_dict()
        save_checkpoint(folder / name, tensors, architecture, {}, {})
    content = (folder / "whole").read_bytes()
    (folder / "cut").write_bytes(content[: len(content) // 2])
    (folder / "empty").write_bytes(b"")
    return folder


def stage_of(name, files, data, index, out, section=(), **given):
    """A stage whose inputs are the right ones, but for those that are given."""
    right = {"data": data, "index": index}
    flags = []
    for field, role in roles(load_stage(name)).items():
        if type(role).__name__ != "Input":
            flags += [f"--{field}", str(out / field)]
        elif field in given:
            flags += [f"--{field}", str(files / given[field])]
        elif field not in ("proposals", "given_proposals"):
            flags += [f"--{field}", str(right.get(field, files / "whole"))]
    return parse(load_stage(name), [*flags, *section])


CLASSES = ("other_names", "fewer_classes", "other_order")
UNREADABLE = ("cut", "empty")
FINETUNE = ("--part", "rpn")
CASES = [
    *(("finetune", {"rpn": name}, "made for classes") for name in CLASSES),
    *(("finetune", {"detector": name}, "made for classes") for name in CLASSES),
    *(("generate_proposals", {"rpn": name}, "made for classes") for name in CLASSES),
    *(("evaluate", {"detector": name}, "made for classes") for name in CLASSES),
    *(("validate_onnx", {"detector": name}, "made for classes|not a valid") for name in CLASSES),
    *(("finetune", {"rpn": name}, "not a fourstep checkpoint") for name in UNREADABLE),
    *(("finetune", {"detector": name}, "not a fourstep checkpoint") for name in UNREADABLE),
    *(("generate_proposals", {"rpn": name}, "not a fourstep checkpoint") for name in UNREADABLE),
    *(("export_onnx", {"detector": name}, "not a fourstep checkpoint") for name in UNREADABLE),
    *(("evaluate", {"unshared_rpn": name}, "not a fourstep checkpoint") for name in UNREADABLE),
    ("finetune", {"rpn": "no_rpn"}, "has no rpn"),
    ("finetune", {"detector": "no_detector"}, "has no detector"),
    ("generate_proposals", {"rpn": "no_rpn"}, "has no rpn"),
    ("export_onnx", {"detector": "no_rpn"}, "has no rpn"),
    ("export_onnx", {"detector": "no_detector"}, "has no detector"),
    ("evaluate", {"unshared_rpn": "no_rpn"}, "has no rpn"),
    ("evaluate", {"unshared_detector": "no_detector"}, "has no detector"),
    ("finetune", {"rpn": "other_backbone"}, "its backbone is mobilenet_v2, but that of .* is tiny"),
    ("finetune", {"rpn": "other_norm"}, "its norm is batch, but that of .* is frozen"),
    ("finetune", {"rpn": "other_input"}, r"its input is .*96.* but that of .* is .*64"),
    ("evaluate", {"unshared_rpn": "other_backbone"}, "its backbone is mobilenet_v2"),
]


@pytest.mark.parametrize(("name", "given", "says"), CASES)
def test_it_is_refused_by_name(name, given, says, files, demo_data, demo_index_path, tmp_path):
    section = FINETUNE if name == "finetune" else ()
    if name == "validate_onnx":
        given = given | {"model": "empty"}
    stage = stage_of(name, files, demo_data, demo_index_path, tmp_path, section, **given)
    with pytest.raises(InputError, match=says) as refused:
        work_of(name).run(stage, Run())
    assert any(file in str(refused.value) for file in given.values())
    assert not list(tmp_path.iterdir())


def test_anchors_that_fit_no_training_image_are_refused(
    files, demo_data, demo_index_path, tmp_path
):
    """Those of a preset for other data: none of them would teach the RPN anything."""
    section = ("--anchors.base_size", "16", "--anchors.scales", "8", "16", "32")
    stage = stage_of(
        "train_rpn", files, demo_data, demo_index_path, tmp_path, section, backbone="whole"
    )
    with pytest.raises(InputError, match=r"scales=\(8\.0.* of which the largest is 80 x 64 pixels"):
        work_of("train_rpn").run(stage, Run())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_an_index_that_was_cut_short_is_refused(share, demo_index_path, tmp_path):
    content = demo_index_path.read_bytes()
    path = tmp_path / "index.arrow"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"index\.arrow: not an index .* run it again"):
        read_index(path)
