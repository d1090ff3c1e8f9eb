"""Bad settings are refused by name before anything runs: source, section, key, value, remedy."""

from pathlib import Path

import pytest
import yaml

from components.errors import InputError
from pipelines.sections import check_params

ROOT = Path(__file__).parents[2]
INF, NAN = float("inf"), float("nan")
FINITE = "must be above 0 and finite"

KEYS = [
    ("train_rnp", {}, r"unknown section 'train_rnp'; did you mean 'train_rpn'\?"),
    ("zebra", {}, r"unknown section 'zebra'; known are validate_data, "),
    (7, {}, "unknown section '7'"),
    ("train_rpn.lr", 1, r"train_rpn\.lr: unknown; known are .*solver\.lr"),
    ("train_rpn.solver.lrr", 1, r"train_rpn\.solver\.lrr: unknown; did you mean 'solver\.lr'"),
    ("train_rpn.slover.lr", 1, r"train_rpn\.slover: unknown; did you mean 'solver'"),
    ("train_rpn.solver.lr.x", 1, r"train_rpn\.solver\.lr: \{'x': 1\} is not allowed, .* a number"),
    ("train_rpn.roi", {"size": 5}, r"train_rpn\.roi: unknown; known are .*anchors"),
    ("train_rpn.data", "data", r"train_rpn\.data: unknown"),
    ("train_rpn.solver.7", 1, r"train_rpn\.solver\.7: unknown"),
    ("validate_data.solver", {"lr": 1}, r"validate_data\.solver: unknown"),
    ("init_backbone.crops.epoch", 1, r"init_backbone\.crops\.epoch: unknown; .*'crops\.epochs'"),
    ("register_model.metrics", "AP", r"register_model\.metrics: unknown; .*'metric'"),
]
KINDS = [
    ("train_rpn", 5, r"train_rpn: 5 is no section; write `train_rpn: \{\}`"),
    ("train_rpn", [], r"train_rpn: \[\] is no section"),
    ("evaluate", False, r"evaluate: False is no section"),
    ("train_rpn.solver", 3, r"train_rpn\.solver: 3 is no group of settings"),
    ("train_rpn.solver", [1], r"train_rpn\.solver: \[1\] is no group"),
    ("train_rpn.solver", None, r"train_rpn\.solver: None is no group"),
    ("train_rpn.solver.lr", "fast", r"train_rpn\.solver\.lr: 'fast' .* must be a number"),
    ("train_rpn.solver.lr", True, r"solver\.lr: True is not allowed, it must be a number"),
    ("train_rpn.solver.lr", False, r"solver\.lr: False is not allowed, it must be a number"),
    ("train_rpn.solver.lr", [0.1, 0.2], r"solver\.lr: \[0\.1, 0\.2\] .* must be a number"),
    ("train_rpn.solver.lr", None, r"solver\.lr: is empty; leave the key out"),
    ("train_rpn.solver.lr", "", r"solver\.lr: is empty"),
    ("train_rpn.solver.iterations", 1.5, r"iterations: 1\.5 .* must be a whole number"),
    ("train_rpn.solver.iterations", "1e3", r"iterations: '1e3' .* must be a whole number"),
    ("train_rpn.solver.flip", "maybe", r"solver\.flip: 'maybe' .* must be true or false"),
    ("train_rpn.solver.flip", 1, r"solver\.flip: 1 .* must be true or false"),
    ("train_rpn.solver.flip", [True], r"solver\.flip: \[True\] .* must be true or false"),
    ("train_rpn.solver.optimizer", "sdg", r"optimizer: 'sdg' .* must be one of sgd, adamw"),
    ("train_rpn.solver.precision", "float16", r"precision: 'float16' .* float32, bfloat16"),
    ("train_rpn.solver.precision", True, r"precision: True .* must be one of float32"),
    ("train_rpn.solver.lr_drops", [], r"lr_drops: is empty"),
    ("train_rpn.solver.lr_drops", [10, None], r"lr_drops: \[10, None\] .* whole number"),
    ("train_rpn.solver.lr_drops", [[10]], r"lr_drops: \[\[10\]\] .* whole number"),
    ("train_rpn.anchors.scales", {"a": 1}, r"anchors\.scales: \{'a': 1\} .* a number"),
    ("train_rpn.anchors.scales", [1.0, "big"], r"scales: \[1\.0, 'big'\] .* a number"),
    ("init_backbone.name", "vgg61", r"init_backbone\.name: 'vgg61' .* one of vgg16, resnet18"),
    ("init_backbone.weights", "--help", r"init_backbone\.weights: '--help' begins with '-'"),
    ("init_backbone.weights", ["a"], r"init_backbone\.weights: \['a'\] .* must be text"),
    ("register_model.model_name", True, r"model_name: True .* must be text; quote it"),
    ("validate_onnx.split", "tets", r"validate_onnx\.split: 'tets' .* one of train, test"),
]
RANGES = [
    ("train_rpn.solver.lr", INF, rf"train_rpn\.solver\.lr: inf .*{FINITE}"),
    ("train_rpn.solver.lr", -INF, rf"solver\.lr: -inf .*{FINITE}"),
    ("train_rpn.solver.lr", NAN, rf"solver\.lr: nan .*{FINITE}"),
    ("train_rpn.solver.lr", "nan", rf"solver\.lr: nan .*{FINITE}"),
    ("train_rpn.solver.lr", 0, rf"solver\.lr: 0\.0 .*{FINITE}"),
    ("train_rpn.solver.lr", -0.00001, rf"solver\.lr: -1e-05 .*{FINITE}"),
    ("train_rpn.solver.weight_decay", INF, r"weight_decay: inf .* at least 0"),
    ("train_rpn.solver.weight_decay", NAN, r"weight_decay: nan .* at least 0"),
    ("train_rpn.solver.momentum", 1.0, r"momentum: 1\.0 .* must be below 1"),
    ("train_rpn.solver.momentum", -0.1, r"momentum: -0\.1 .* at least 0"),
    ("train_rpn.solver.iterations", 0, r"iterations: 0 .* above 0"),
    ("train_rpn.solver.iterations", 10**18, r"iterations: 10{18} .* at most 1000000000"),
    ("train_rpn.solver.images_per_batch", -2, r"images_per_batch: -2 .* above 0"),
    ("train_rpn.solver.seed", -1, r"seed: -1 .* at least 0"),
    ("train_rpn.solver.seed", 2**63, r"seed: 9223372036854775808 .* at most"),
    ("train_rpn.solver.workers", -2, r"workers: -2 .* at least -1"),
    ("train_rpn.solver.log_every", 0, r"log_every: 0 .* above 0"),
    ("train_rpn.solver.checkpoint_every", 0, r"checkpoint_every: 0 .* above 0"),
    ("train_rpn.solver.checkpoint_seconds", 0, r"checkpoint_seconds: 0\.0 .* above 0"),
    ("train_rpn.anchors.scales", [1.0, NAN], r"anchors\.scales: \(1\.0, nan\) .* above 0"),
    ("train_rpn.anchors.ratios", [0], r"anchors\.ratios: \(0\.0,\) .* above 0"),
    ("train_rpn.targets.positive_iou", 1.1, r"positive_iou: 1\.1 .* between 0 and 1"),
    ("train_rpn.targets.positive_iou", NAN, r"positive_iou: nan .* between 0 and 1"),
    ("generate_proposals.limits.min_size", INF, r"limits\.min_size: inf .* at least 0"),
    ("generate_proposals.limits.pre_nms", -1, r"limits\.pre_nms: -1 .* at least 0"),
    ("generate_proposals.batch_size", 0, r"batch_size: 0 .* above 0"),
    ("init_backbone.input.short_side", 8, r"input\.short_side: 8 .* at least 16"),
    ("init_backbone.input.roi_side", 0, r"input\.roi_side: 0 .* above 0"),
    ("evaluate.scale", 8, r"evaluate\.scale: 8 .* at least 16"),
    ("export_onnx.scale", -1, r"export_onnx\.scale: -1 .* at least 16"),
    ("init_backbone.seed", 2**64, r"init_backbone\.seed: \d+ .* at most"),
    ("finetune_rpn.feature_cache_gb", INF, r"feature_cache_gb: inf .* finite"),
    ("validate_data.min_box_px", INF, r"min_box_px: inf is not possible"),
    ("validate_data.train", "../train", r"validate_data\.train: '\.\./train'"),
    ("register_model.minimum", 2, r"minimum: 2\.0 is not between 0 and 1"),
    ("register_model.model_name", "a/b", r"model_name: 'a/b'"),
    ("register_model.metric", "AP50", r"metric: 'AP50' is none of evaluate's.* shared\.AP50"),
    ("validate_onnx.ap_tolerance", 5, r"ap_tolerance: 5\.0 .* between 0 and 1"),
]
TOGETHER = [
    ("train_rpn.targets.negative_iou", 0.9, r"negative_iou: 0\.9 is above positive_iou 0\.7"),
    (
        "train_rpn.targets.positive_fraction",
        0.001,
        r"targets\.positive_fraction: 0\.001 of anchors_per_image 256 is no positive",
    ),
    (
        "train_detector.targets.background_iou_low",
        0.6,
        r"background_iou_low: 0\.6 leaves no background below foreground_iou 0\.5",
    ),
    (
        "train_detector.targets.foreground_fraction",
        0.0,
        r"train_detector\.targets\.foreground_fraction: 0\.0 of an image's 32 RoIs .* raise it",
    ),
    (
        "train_detector.targets.rois_per_batch",
        2,
        r"train_detector\.targets\.rois_per_batch: 2 is less than one .*images_per_batch 4",
    ),
    (
        "finetune_detector.roi_targets.rois_per_batch",
        8,
        r"finetune_detector\.roi_targets\.foreground_fraction: 0\.25 of an image's 2 RoIs",
    ),
    ("train_rpn.solver.lr_drops", [450, 450], r"lr_drops: \(450, 450\) must rise"),
    ("train_rpn.solver.lr_drops", [500, 450], r"lr_drops: \(500, 450\) must rise; sort them"),
    (
        "generate_proposals.limits.pre_nms",
        100,
        r"generate_proposals\.limits\.post_nms: 300 .* of pre_nms 100; lower post_nms",
    ),
    ("init_backbone.input.long_side", 100, r"input\.long_side: 100 .* at least 128"),
    ("finetune_rpn.part", "detector", r"finetune_rpn\.part: detector is another step's"),
    ("finetune_detector.part", "rpn", r"finetune_detector\.roi_targets: part rpn has no use"),
    ("finetune_rpn.roi_targets", {"rois_per_batch": 64}, r"finetune_rpn\.roi_targets: .* leave"),
    (
        "finetune_detector.rpn_targets",
        {"anchors_per_image": 64},
        r"finetune_detector\.rpn_targets: part detector has no use for them",
    ),
    (
        "train_rpn.anchors.base_size",
        400,
        r"train_rpn\.anchors: scales \(1\.0, 1\.5, 2\.2\) of base_size 400 .* 128 x 160 pixels",
    ),
    (
        "export_onnx.detection",
        {"nms_iou": 0.5},
        r"export_onnx\.detection\.nms_iou: 0\.5, but evaluate\.detection\.nms_iou is 0\.3",
    ),
    ("evaluate.scale", 96, r"export_onnx\.scale: 0, but evaluate\.scale is 96: another detector"),
    (
        "init_backbone.input.scales",
        [96, 128],
        r"export_onnx\.scale: 0 is the whole .* init_backbone\.input\.scales \(96, 128\), .*"
        r"give export_onnx\.scale and evaluate\.scale the same one",
    ),
    ("init_backbone.input.scales", [96, 192], r"input\.scales: short_side 128 is not among"),
    ("init_backbone.input.scales", [128], r"input\.scales: \(128,\) must be two or more"),
    ("init_backbone.input.scales", [192, 128], r"scales: \(192, 128\) must be two or more that"),
    ("init_backbone.input.scales", [8, 128], r"scales: 8 is not allowed, .* at least 16"),
    (
        "evaluate.proposals.post_nms",
        50,
        r"export_onnx\.proposals\.post_nms: 100, but evaluate\.proposals\.post_nms is 50",
    ),
]
EDITS = [*KEYS, *KINDS, *RANGES, *TOGETHER]


def edited(key, value):
    """params.yaml with one setting replaced; no two sections share a group."""
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings = {k: yaml.safe_load(yaml.safe_dump(v)) for k, v in settings.items()}
    *groups, last = key.split(".") if isinstance(key, str) else [key]
    place = settings
    for group in groups:
        if not isinstance(place.get(group), dict):
            place[group] = {}
        place = place[group]
    place[last] = value
    return settings


@pytest.mark.parametrize(("key", "value", "message"), EDITS, ids=lambda v: str(v)[:40])
def test_a_bad_edit_is_refused_by_name(tmp_path, key, value, message):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(edited(key, value)))
    with pytest.raises(InputError, match=r"params\.yaml: .*(?:" + message + ")"):
        check_params(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train_rpn.solver.lr", "1e-3"),  # a number to everyone but YAML 1.1
        ("train_rpn.solver.lr", 1e9),  # foolish, but the training says so by itself
        ("train_rpn.solver.lr_drops", [60000]),  # never reached: the papers' default
        ("train_rpn.solver.lr_drops", 450),  # one is a list of one
        ("train_rpn.solver.warmup_iterations", 601),  # longer than a training cut short to try it
        ("train_rpn.targets.negative_iou", 0.7),
        ("register_model.model_name", 7),
        ("validate_data", None),
    ],
)
def test_what_is_unusual_but_possible_is_taken(tmp_path, key, value):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(edited(key, value)))
    check_params(path)


MANY = "".join(f"  a{n + 1}: &a{n + 1} {{x: *a{n}, y: *a{n}}}\n" for n in range(60))
FILES = [
    (b"", "must hold a mapping"),
    (b"- a\n- b\n", "must hold a mapping"),
    (b"train_rpn\n", "must hold a mapping"),
    (b"a: [", r"line 1, column 5"),
    (b"train_rpn:\n\tsolver: 1\n", r"line 2, column 1"),
    (b"train_rpn: {}\n train_rpn: x: y\n", r"line 2"),
    (b"a: {}\na: {}\n", r"the key 'a' is given twice(.|\n)*line 2, column 1"),
    (b"a:\n  lr: 1\n  lr: 2\n", r"the key 'lr' is given twice(.|\n)*line 3, column 3"),
    (b"a: &a {b: *a}\n", r"\*a stands inside of &a(.|\n)*line 1"),
    (b"a: &a [*a]\n", r"\*a stands inside of &a"),
    (b"a: *b\n", "undefined alias"),
    (b"a: \xff\n", "utf-8"),
    (b"a: \x00\n", "cannot be read as YAML"),
    (b"a: 2001-13-45\n", "month must be in 1..12"),
    (b"a: " + b"9" * 5000, "cannot be read as YAML"),
    (b"? [a]\n: 1\n", "unhashable"),
    (b"[" * 5000, "cannot be read as YAML"),
    (b"a: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
    (b"train_rpn:\n  a0: &a0 1\n" + MANY.encode(), "section 'validate_data' is missing"),
]


@pytest.mark.parametrize(("content", "message"), FILES, ids=lambda v: str(v)[:30])
def test_a_file_that_is_no_mapping_of_sections_is_refused(tmp_path, content, message):
    (tmp_path / "p.yaml").write_bytes(content)
    with pytest.raises(InputError, match=r"p\.yaml: (.|\n)*(?:" + message + ")"):
        check_params(tmp_path / "p.yaml")


def test_aliases_that_multiply_are_refused_at_once(tmp_path):
    settings = edited("zebra", {})
    del settings["zebra"]
    bombs = "evaluate:\n  a0: &a0 1\n" + MANY
    text = yaml.safe_dump({k: v for k, v in settings.items() if k != "evaluate"}) + bombs
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(InputError, match=r"evaluate\.a0: unknown"):
        check_params(tmp_path / "p.yaml")


def test_merged_keys_may_be_replaced_once(tmp_path):
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "p.yaml").write_text(text)
    check_params(tmp_path / "p.yaml")
    doubled = text.replace("    lr: 0.0005\n", "    lr: 0.0005\n    lr: 0.0006\n")
    (tmp_path / "p.yaml").write_text(doubled)
    with pytest.raises(InputError, match="the key 'lr' is given twice"):
        check_params(tmp_path / "p.yaml")
