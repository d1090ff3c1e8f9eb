"""The frozen features of steps 3 and 4: what is kept, that it changes no bit, and how it ends."""

import errno
import json
import pickle
import shutil
from collections import Counter, namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch

from components.contract import UNFINISHED
from components.dataset.index import write_index
from components.errors import InputError
from components.finetune import Finetune
from components.finetune.run import open_features, trained_part
from components.networks.device import default_device, on_device
from components.training import features as module
from components.training.batches import TrainingSet, training_batches
from components.training.feature_plan import feature_shapes, plan_features
from components.training.features import FeatureFolder, cached_features, frozen_features
from components.training.loop import step_generator
from components.training.parameters import SolverParameters
from components.training.pick import Pick, pick_of
from components.training.steps import resume_key
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import AnchorParameters, InputParameters

SIZES = ((40, 60), (40, 72), (41, 66), (70, 40), (66, 40))
ITERATIONS = 9
Disk = namedtuple("Disk", "free")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Five noise images of five sizes, and their index."""
    from torchvision.io import write_png

    folder = tmp_path_factory.mktemp("scenes")
    source = torch.Generator().manual_seed(1)
    rows = []
    for number, (height, width) in enumerate(SIZES):
        pixels = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=source)
        write_png(pixels, str(folder / f"{number}.png"))
        row = {"image_id": number, "file": f"{number}.png", "split": "train", "sha256": ""}
        row |= {"width": width, "height": height, "boxes": [[5.0, 5.0, 30.0, 35.0]]}
        rows.append(row | {"labels": [1], "crowd": [False]})
    return folder, write_index(folder / "index.arrow", rows, ["a"], "coco")


RULE = InputParameters(short_side=48, long_side=80)
PYRAMID = InputParameters(short_side=48, long_side=80, scales=(32, 48, 64))


def make_network(backbone="tiny", rule=RULE):
    torch.manual_seed(0)
    anchors = AnchorParameters(base_size=16, scales=(1.0, 2.0), ratios=(1.0,))
    network = FasterRCNN(
        Architecture(backbone=backbone, norm="frozen", classes=("a",), input=rule, anchors=anchors)
    )
    network.shared.requires_grad_(False)
    return on_device(network).eval()


def make_stage(scratch, data, *, gb=1.0, **solver):
    values = {"iterations": ITERATIONS, "images_per_batch": 2, "workers": 0} | solver
    names = ("index", "detector", "rpn", "network", "metrics", "curve", "page")
    return Finetune(
        data=data,
        **dict.fromkeys(names, Path("not used")),
        scratch=scratch,
        part="rpn",
        feature_cache_gb=gb,
        solver=SolverParameters(**values),
    )


def open_cache(stage, index, network=None, digest="d"):
    return open_features(stage, network or make_network(), index, digest)


def batches_of(stage, index, features, rule=RULE):
    dataset = TrainingSet(stage.data, index, rule, None, features)
    settings = stage.solver
    return training_batches(
        dataset,
        split="train",
        batch_size=settings.images_per_batch,
        first=0,
        last=settings.iterations,
        flip=settings.flip,
        seed=settings.seed,
        workers=settings.workers,
    )


def losses_of(stage, index, rule=RULE):
    """The losses of all iterations of a training whose weights stay, as they are."""
    network = make_network(rule=rule)
    _, losses = trained_part(stage, network)
    batches = batches_of(stage, index, open_cache(stage, index, network), rule)
    device = default_device()
    return [
        torch.stack(list(losses(batch.to(device), step_generator(1, n, device)).values()))
        for n, batch in enumerate(batches)
    ]


def most_read(cache):
    """The pick that is kept first."""
    return pick_of(int(cache._plan.codes[0]), cache._plan.levels)


def file_of(stage):
    return stage.scratch / UNFINISHED / "features" / "features.bin"


@pytest.fixture
def computed(monkeypatch):
    """How many images have gone through the convs to be kept."""
    counted = []
    original = module._compute

    def counting(network, images, workers):
        counted.append(len(images))
        return original(network, images, workers)

    monkeypatch.setattr(module, "_compute", counting)
    return counted


def plan_of(index, picks, network=None, dtype=torch.float32):
    batches = [[Pick(*pick) for pick in batch] for batch in picks]
    return plan_features(network or make_network(), index, batches, dtype)


def test_what_is_read_most_is_kept_first_and_what_is_read_once_not_at_all(scenes):
    _, index = scenes
    picks = [
        [(3, False), (1, True)],
        [(1, True), (0, False)],
        [(0, False), (0, False)],
        [(2, True)],
    ]
    plan = plan_of(index, picks)
    assert plan.codes.tolist() == [0, 3]  # row 0 thrice, row 1 mirrored twice
    assert plan.reads.tolist() == [3, 2]
    assert plan.all_reads == 7
    assert [plan.computed_share(kept) for kept in (0, 1, 2)] == pytest.approx([1, 4 / 7, 2 / 7])


def test_equal_reads_are_kept_by_row_unmirrored_first(scenes):
    _, index = scenes
    picks = [[(2, True), (2, False), (0, True)]] * 2
    assert plan_of(index, picks).codes.tolist() == [1, 4, 5]


def test_sizes_by_hand(scenes):
    _, index = scenes
    plan = plan_of(index, [[(0, False), (0, False), (1, False), (1, False)]])
    # 40 x 60 becomes 48 x 72, 40 x 72 becomes 44 x 80; stride 8, 96 channels, 4 bytes
    assert plan.shapes.tolist() == [[6, 9], [6, 10]]
    assert plan.offsets.tolist() == [0, 6 * 9 * 96 * 4, (6 * 9 + 6 * 10) * 96 * 4]
    assert plan.size == plan.offsets[-1]
    assert [plan.fitting(room) for room in (0, 20735, 20736, 43775, 43776, 1e12)] == [
        0,
        0,
        1,
        1,
        2,
        2,
    ]
    half = plan_of(index, [[(0, False), (0, False)]], dtype=torch.bfloat16)
    assert half.size == 6 * 9 * 96 * 2


def test_a_plan_may_be_empty(scenes):
    _, index = scenes
    plan = plan_of(index, [[(4, False), (0, True)]])
    assert (plan.size, plan.fitting(1e12), plan.computed_share(0)) == (0, 0, 1)


@pytest.mark.parametrize("backbone", ["tiny", "vgg16", "mobilenet_v2"])
def test_shapes_are_those_of_the_convs(scenes, backbone):
    folder, index = scenes
    network = make_network(backbone)
    rows = np.array([3, 0])
    images = module._Images(folder, index, network.architecture.input, 2 * rows)
    found = [
        frozen_features(network, images[n].to(default_device())).shape[1:] for n in range(len(rows))
    ]
    shapes = feature_shapes(network, index, rows, np.zeros_like(rows))
    assert shapes.tolist() == [list(shape) for shape in found]


@pytest.mark.parametrize("size", [1, 2])
def test_losses_do_not_depend_on_what_is_kept(scenes, tmp_path, size):
    """Bit by bit: each image goes through the convs alone, and nothing is rounded."""
    data, index = scenes
    solver = {"images_per_batch": size, "iterations": 18 // size}
    whole = make_stage(tmp_path / "whole", data, **solver)
    some = make_stage(tmp_path / "some", data, gb=60_000e-9, **solver)
    none = make_stage(tmp_path / "none", data, gb=0.0, **solver)
    losses = {stage.scratch.name: losses_of(stage, index) for stage in (whole, some, none)}
    sizes = [file_of(stage).stat().st_size for stage in (whole, some, none)]
    assert sizes[0] > 60_000 >= sizes[1] > 30_000
    assert sizes[2] == 0
    for a, b, c in zip(*losses.values(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


def test_on_a_pyramid_losses_do_not_depend_on_what_is_kept_either(scenes, tmp_path):
    data, index = scenes
    solver = {"images_per_batch": 2, "iterations": 20}
    stages = [
        make_stage(tmp_path / name, data, gb=gb, **solver)
        for name, gb in (("whole", 1.0), ("some", 60_000e-9), ("none", 0.0))
    ]
    whole, some, none = (losses_of(stage, index, PYRAMID) for stage in stages)
    sizes = [file_of(stage).stat().st_size for stage in stages]
    assert sizes[0] > 60_000 >= sizes[1] > 30_000
    assert sizes[2] == 0
    for a, b, c in zip(whole, some, none, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


def test_each_scale_of_an_image_is_kept_by_itself(scenes, tmp_path):
    data, index = scenes
    network = make_network(rule=PYRAMID)
    stage = make_stage(tmp_path, data, iterations=40)
    cache = open_cache(stage, index, network)
    plan = cache._plan
    kept = [pick_of(code, 3) for code in plan.codes.tolist()]
    assert {pick.level for pick in kept} == {0, 1, 2}
    dataset = TrainingSet(data, index, PYRAMID)
    for number, pick in enumerate(kept):
        pixels = dataset[pick].images.to(default_device())
        expected = frozen_features(network, pixels).cpu()
        assert torch.equal(cache.read(pick), expected)
        assert plan.shape(number)[:2] == tuple(expected.shape[1:])


def test_a_batch_may_have_features_and_pixels(scenes, tmp_path):
    data, index = scenes
    stage = make_stage(tmp_path, data, gb=60_000e-9)
    kinds = Counter(
        tuple(sorted(image.dtype.is_floating_point for image in batch.alone))
        for batch in batches_of(stage, index, open_cache(stage, index))
    )
    assert kinds[(False, True)]
    assert sum(kinds.values()) == ITERATIONS


def test_features_have_the_layout_that_the_convs_give(scenes, tmp_path):
    data, index = scenes
    network = make_network()
    stage = make_stage(tmp_path, data)
    batch = next(batches_of(stage, index, open_cache(stage, index, network)))
    stacked = module.stacked_features(network, tuple(i.to(default_device()) for i in batch.alone))
    assert stacked.is_contiguous(memory_format=torch.channels_last)


def test_only_what_is_read_again_is_computed(scenes, tmp_path, computed):
    data, index = scenes
    stage = make_stage(tmp_path, data)
    picks = Counter(
        (file, *map(int, boxes.flatten().tolist()))
        for batch in batches_of(stage, index, None)
        for file, boxes in zip(batch.files, batch.boxes, strict=True)
    )
    open_cache(stage, index)
    assert computed == [sum(reads > 1 for reads in picks.values())]
    assert 0 < computed[0] < 2 * len(SIZES)


def test_a_training_of_one_epoch_keeps_nothing(scenes, tmp_path, computed, capsys):
    data, index = scenes
    stage = make_stage(tmp_path, data, iterations=len(SIZES), images_per_batch=1)
    assert open_cache(stage, index).read(Pick(0, False)) is None
    assert computed == [0]
    assert "0 of 0 images" in capsys.readouterr().out


def test_features_are_taken_over_by_the_next_run(scenes, tmp_path, computed):
    data, index = scenes
    stage = make_stage(tmp_path, data)
    first, second = open_cache(stage, index), open_cache(stage, index)
    assert torch.equal(first.read(most_read(first)), second.read(most_read(first)))
    assert computed[0] > 0
    assert computed[1:] == [0]


def test_an_interrupted_run_is_gone_on_with(scenes, tmp_path, monkeypatch, computed):
    data, index = scenes
    whole, stage = make_stage(tmp_path / "a", data), make_stage(tmp_path / "b", data)
    open_cache(whole, index)
    monkeypatch.setattr(module, "SYNCED_EVERY", 2)
    compute = module._compute

    def dying(network, images, workers):
        for number, values in enumerate(compute(network, images, workers)):
            if number == 3:
                raise KeyboardInterrupt
            yield values

    monkeypatch.setattr(module, "_compute", dying)
    with pytest.raises(KeyboardInterrupt):
        open_cache(stage, index)
    monkeypatch.setattr(module, "_compute", compute)
    open_cache(stage, index)
    assert computed[2] == computed[0] - 2
    assert file_of(stage).read_bytes() == file_of(whole).read_bytes()


def test_another_limit_shortens_and_lengthens_the_file(scenes, tmp_path, computed):
    data, index = scenes
    open_cache(make_stage(tmp_path, data), index)
    whole = file_of(make_stage(tmp_path, data)).read_bytes()
    shorter = make_stage(tmp_path, data, gb=60_000e-9)
    open_cache(shorter, index)
    assert len(file_of(shorter).read_bytes()) <= 60_000
    open_cache(make_stage(tmp_path, data), index)
    assert file_of(shorter).read_bytes() == whole
    assert computed[1] == 0
    assert 0 < computed[2] < computed[0]


@pytest.mark.parametrize("change", ["detector", "seed", "type"])
def test_other_contents_are_computed_anew(scenes, tmp_path, computed, change):
    data, index = scenes
    open_cache(make_stage(tmp_path, data), index)
    stage = make_stage(tmp_path, data, seed=2 if change == "seed" else 1)
    with torch.autocast(default_device().type, torch.bfloat16, enabled=change == "type"):
        open_cache(stage, index, digest="other" if change == "detector" else "d")
    assert computed[1] > 0
    assert file_of(stage).stat().st_size <= computed[1] * 6 * 10 * 96 * 4


@pytest.mark.parametrize("lost", ["features.bin", "state.json", "folder", "half", "text"])
def test_files_may_be_lost_between_runs(scenes, tmp_path, computed, lost):
    data, index = scenes
    stage = make_stage(tmp_path, data)
    open_cache(stage, index)
    file = file_of(stage)
    whole = file.read_bytes()
    if lost == "folder":
        shutil.rmtree(file.parent)
    elif lost == "half":
        file.write_bytes(whole[: len(whole) // 2])
    elif lost == "text":
        (file.parent / "state.json").write_text("{")
    else:
        (file.parent / lost).unlink()
    open_cache(stage, index)
    assert computed[1] == computed[0]
    assert file.read_bytes() == whole


def test_the_folder_may_be_deleted_while_it_is_in_use(scenes, tmp_path):
    data, index = scenes
    stage = make_stage(tmp_path, data, workers=1)
    cache = open_cache(stage, index)
    before = cache.read(most_read(cache))
    shutil.rmtree(stage.scratch)
    assert torch.equal(cache.read(most_read(cache)), before)
    assert len(list(batches_of(stage, index, cache))) == ITERATIONS


def test_a_file_cut_short_while_in_use_is_an_error_that_names_it(scenes, tmp_path):
    data, index = scenes
    stage = make_stage(tmp_path, data)
    cache = open_cache(stage, index)
    file_of(stage).write_bytes(b"")
    with pytest.raises(InputError, match=r"features\.bin: was cut short while in use"):
        cache.read(most_read(cache))


def test_a_cache_reopens_in_a_process_that_is_not_forked(scenes, tmp_path):
    data, index = scenes
    cache = open_cache(make_stage(tmp_path, data), index)
    again, pick = pickle.loads(pickle.dumps(cache)), most_read(cache)
    assert torch.equal(again.read(pick), cache.read(pick))


def test_bfloat16_features_are_kept_as_they_are(scenes, tmp_path):
    data, index = scenes
    network = make_network()
    stage = make_stage(tmp_path, data)
    with torch.autocast(default_device().type, torch.bfloat16):
        cache = open_cache(stage, index, network)
        rule, first = network.architecture.input, cache._plan.codes[:1]
        pixels = module._Images(data, index, rule, first)[0]
        expected = frozen_features(network, pixels.to(default_device())).cpu()
    found = cache.read(most_read(cache))
    assert found.dtype == expected.dtype == torch.bfloat16
    assert torch.equal(found, expected)
    state = json.loads((file_of(stage).parent / "state.json").read_text())
    assert state["bytes"] == file_of(stage).stat().st_size


def test_use_and_limit_are_said_beforehand(scenes, tmp_path, capsys):
    data, index = scenes
    open_cache(make_stage(tmp_path / "whole", data), index)
    said = capsys.readouterr().out
    assert f"GB in {tmp_path}" in said
    assert "readings." in said
    assert "All would take" not in said
    open_cache(make_stage(tmp_path / "none", data, gb=0.0), index)
    said = capsys.readouterr().out
    assert "0.000 GB in" in said
    assert "for 100.0% of the 18 readings" in said
    assert "finetune's feature_cache_gb is 0." in said


def test_a_disk_with_little_room_keeps_what_fits(scenes, tmp_path, monkeypatch, capsys):
    data, index = scenes
    free = module.LEFT_FREE + 60_000
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: Disk(free))
    stage = make_stage(tmp_path, data)
    open_cache(stage, index)
    assert 30_000 < file_of(stage).stat().st_size <= 60_000
    assert "the disk has 0.000 GB for them, beside 2 GB" in capsys.readouterr().out


def test_what_is_kept_already_counts_as_room(scenes, tmp_path, monkeypatch, computed):
    data, index = scenes
    stage = make_stage(tmp_path, data)
    open_cache(stage, index)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: Disk(module.LEFT_FREE))
    open_cache(stage, index)
    assert computed[1] == 0
    assert file_of(stage).stat().st_size > 60_000


@pytest.mark.parametrize("at", ["first", "later", "close"])
def test_a_disk_that_fills_up_is_an_error_that_names_file_and_bytes(
    scenes, tmp_path, monkeypatch, at
):
    data, index = scenes
    network = make_network()
    plan = plan_of(index, [[(0, False), (1, True)]] * 2, network)
    folder = FeatureFolder(tmp_path / "features", "k")

    def full(self, done, size):
        if done or at == "first":
            raise OSError(errno.ENOSPC, "No space left on device")

    if at == "close":
        monkeypatch.setattr(module.os, "fsync", lambda number: full(folder, 1, 0))
    else:
        monkeypatch.setattr(FeatureFolder, "note", full)
    with pytest.raises(InputError, match=rf"features\.bin: .*No space left.* {plan.size} bytes"):
        cached_features(folder, plan, 2, network, data, index, workers=0)


def test_a_picture_that_has_changed_its_size_is_an_error_that_names_it(scenes, tmp_path):
    from torchvision.io import write_png

    data, index = scenes
    changed = tmp_path / "changed"
    shutil.copytree(data, changed)
    write_png(torch.zeros(3, 40, 90, dtype=torch.uint8), str(changed / "0.png"))
    network = make_network()
    plan = plan_of(index, [[(0, False), (1, True)]] * 2, network)
    folder = FeatureFolder(tmp_path / "features", "k")
    with pytest.raises(InputError, match=r"0\.png: gives features .* has changed since validate"):
        cached_features(folder, plan, 2, network, changed, index, workers=0)


def test_a_training_goes_on_when_what_has_no_effect_is_changed(tmp_path):
    stage = make_stage(tmp_path, tmp_path)
    key = resume_key(stage, {"data": "d"})
    assert resume_key(make_stage(tmp_path, tmp_path, gb=2.0, workers=2), {"data": "d"}) == key
    for name in ("checkpoint_every", "checkpoint_seconds"):
        assert resume_key(make_stage(tmp_path, tmp_path, **{name: 7}), {"data": "d"}) == key
    assert resume_key(make_stage(tmp_path, tmp_path, lr=0.5), {"data": "d"}) != key
    assert resume_key(stage, {"data": "e"}) != key
