import gc
import itertools
import weakref

import numpy as np
import pyarrow as pa
import pytest
import torch

from components.dataset.images import resize_image, resized_size, stack_padded
from components.dataset.index import Index
from components.dataset.proposal_file import ImageProposals
from components.dataset.workers import data_loader, worker_count
from components.training.batches import (
    OwnBatches,
    TrainingSet,
    collate,
    shape_groups,
    shuffled_picks,
    training_batches,
)
from components.training.pick import Pick, pick_of
from models.parameters import InputParameters

RULE = InputParameters(short_side=128, long_side=160)
PYRAMID = InputParameters(short_side=128, long_side=160, scales=(96, 128, 192))


def take(count, **changes):
    settings = {"batch_size": 2, "flip": True, "seed": 1} | changes
    rows = np.arange(10, 21)
    return list(itertools.islice(shuffled_picks(np.arange(11) % 3 > 0, rows, **settings), count))


def test_every_image_comes_equally_often_and_shapes_do_not_mix():
    batches = take(55)
    counts = np.bincount([pick.row for batch in batches for pick in batch])[10:]
    assert counts.min() >= 9
    assert counts.max() <= 11
    for batch in batches:
        assert len({(pick.row - 10) % 3 > 0 for pick in batch}) == 1


def test_the_order_is_a_function_of_the_seed():
    assert take(20) == take(20)
    assert take(20) != take(20, seed=2)


def test_one_scale_leaves_order_and_mirroring_as_they_are_without_any():
    """The draws of an epoch in their order: the permutation, then the mirroring."""
    random = np.random.Generator(np.random.PCG64([1, 0]))
    order, mirrored = random.permutation(11), random.random(11) < 0.5
    rows = np.arange(10, 21)
    whole = shuffled_picks(np.zeros(11, np.int64), rows, 11, True, 1)
    assert next(whole) == [Pick(int(rows[n]), bool(mirrored[n]), 0) for n in order]


def scales_of(count, **changes):
    """The scale of each row in each epoch, and which rows are mirrored there."""
    found: dict[int, list[tuple[int, bool]]] = {}
    for pick in itertools.chain.from_iterable(take(count, batch_size=1, **changes)):
        found.setdefault(pick.row, []).append((pick.level, pick.flip))
    return found


def test_the_scale_is_a_function_of_seed_epoch_and_image():
    four = scales_of(44, levels=3)
    assert four == {row: levels[:4] for row, levels in scales_of(66, levels=3).items()}
    assert four != scales_of(44, levels=3, seed=2)
    # Neither the size of a batch nor what mirroring does changes the scales.
    unmirrored = scales_of(44, levels=3, flip=False)
    assert [[s for s, _ in each] for each in unmirrored.values()] == [
        [s for s, _ in four[row]] for row in unmirrored
    ]
    # Mirroring is as with one scale.
    assert {row: [f for _, f in each] for row, each in four.items()} == {
        row: [f for _, f in each] for row, each in scales_of(44).items()
    }


def test_all_scales_are_equally_likely_and_do_not_mix_in_a_batch():
    batches = take(900, levels=3)
    counts = np.bincount([pick.level for batch in batches for pick in batch])
    assert len(counts) == 3
    assert counts.min() > 500
    assert all(len({pick.level for pick in batch}) == 1 for batch in batches)


@pytest.mark.parametrize("levels", [1, 3])
def test_a_pick_is_one_number(levels):
    picks = [Pick(row, flip, n) for row in (0, 7) for n in range(levels) for flip in (False, True)]
    codes = [pick.code(levels) for pick in picks]
    assert [pick_of(code, levels) for code in codes] == picks
    assert sorted(set(codes)) == codes
    assert Pick(3, True).code(1) == 7


def test_an_image_is_at_the_scale_of_its_pick(demo_data, demo_index):
    dataset = TrainingSet(demo_data, demo_index, PYRAMID)
    row = next(r for r in demo_index.rows("train").tolist() if len(demo_index.image(r).boxes))
    each = [dataset[Pick(row, False, level)] for level in range(3)]
    assert [min(example.images.shape[1:]) for example in each] == [96, 128, 192]
    for example in each:
        assert example.images.shape[1:] == tuple(example.size)
        assert torch.allclose(example.boxes, each[1].boxes * (min(example.size) / 128))
        assert torch.equal(example.labels, each[1].labels)
    beside = dataset.beside([Pick(row, False, 0), Pick(row, False, 2)])
    assert (beside.height, beside.width) == tuple(each[2].size)


def test_half_of_the_images_are_mirrored():
    flips = [pick.flip for batch in take(300) for pick in batch]
    assert 0.4 < np.mean(flips) < 0.6
    assert not any(pick.flip for batch in take(20, flip=False) for pick in batch)


def test_resize_rule():
    rule = InputParameters(short_side=600, long_side=1000)
    assert resized_size(480, 640, rule) == (600, 800)
    assert resized_size(300, 900, rule) == (333, 1000)
    image = torch.randint(0, 256, (3, 20, 40), dtype=torch.uint8)
    resized = resize_image(image, InputParameters(short_side=16, long_side=100))
    assert resized.shape == (3, 16, 32)
    assert resized.dtype == torch.uint8


def test_stacking_pads_at_the_end():
    stacked = stack_padded([torch.ones(1, 2, 3), torch.ones(1, 3, 2)])
    assert stacked.shape == (2, 1, 3, 3)
    assert stacked[0, 0].tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]


def test_mirrored_boxes_frame_mirrored_pixels(demo_data, demo_index):
    dataset = TrainingSet(demo_data, demo_index, RULE)
    row = next(r for r in demo_index.rows("train").tolist() if len(demo_index.image(r).boxes))
    plain, mirrored = dataset[Pick(row, False)], dataset[Pick(row, True)]
    x1, y1, x2, y2 = plain.boxes[0].int().tolist()
    a, b, c, d = mirrored.boxes[0].int().tolist()
    cut = plain.images[:, y1:y2, x1:x2]
    assert torch.equal(cut.flip(2), mirrored.images[:, b:d, a:c])


def test_images_without_objects_collate(demo_data, demo_index):
    dataset = TrainingSet(demo_data, demo_index, RULE)
    rows = demo_index.rows("train").tolist()
    empty = [r for r in rows if not len(demo_index.image(r).boxes)] or rows[:1]
    batch = collate([dataset[Pick(empty[0], False)]], frozen=False)
    assert batch.boxes.shape[1] >= 1
    assert batch.proposals.shape == (1, 0, 4)


@pytest.mark.parametrize("rule", [RULE, PYRAMID], ids=["one scale", "pyramid"])
@pytest.mark.parametrize("workers", [0, 2])
def test_workers_and_a_late_start_change_nothing(demo_data, demo_index, workers, rule):
    dataset = TrainingSet(demo_data, demo_index, rule)
    settings = {"split": "train", "batch_size": 2, "flip": True, "seed": 3}
    whole = list(training_batches(dataset, **settings, first=0, last=6, workers=0))
    late = list(training_batches(dataset, **settings, first=4, last=6, workers=workers))
    for a, b in zip(whole[4:], late, strict=True):
        assert a.files == b.files
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.boxes, b.boxes)


def test_shares_of_a_batch_are_its_rows_padded_as_the_whole(demo_data, demo_index):
    """Landscape and portrait together, with other numbers of boxes and proposals in each."""
    rows = demo_index.rows("train").tolist()
    images = [demo_index.image(row) for row in rows]
    wide = [row for row, image in zip(rows, images, strict=True) if image.width > image.height]
    high = [row for row in rows if row not in wide]
    assert wide
    assert high
    dataset = TrainingSet(demo_data, demo_index, RULE, TwiceTheTruth(images))
    for first, second in ((wide[:2], high[:1] * 2), (high[:1] * 2, wide[2:4])):
        picks = [[Pick(row, False) for row in first + second]]
        whole = OwnBatches(dataset, picks, slice(0, 4))[0]
        for own in (slice(0, 2), slice(2, 4)):
            share = OwnBatches(dataset, picks, own)[0]
            for name in ("images", "sizes", "boxes", "labels", "proposals", "valid"):
                assert torch.equal(getattr(share, name), getattr(whole, name)[own]), name
            assert share.files[:2] == whole.files[own]
            assert sorted(share.files) == sorted(whole.files)


class TwiceTheTruth:
    """Proposals: each true box, twice."""

    def __init__(self, images):
        self.boxes = {image.image_id: np.repeat(image.boxes, 2, axis=0) for image in images}

    def image(self, image_id):
        return ImageProposals(image_id, self.boxes[image_id], np.ones(len(self.boxes[image_id])))


def test_groups_hold_images_of_similar_shape():
    sizes = [(1, 3), (2, 3), (3, 4), (5, 5), (4, 3), (3, 2), (5, 1)]
    table = pa.table({"width": [w for w, _ in sizes], "height": [h for _, h in sizes]})
    index = Index(table, (), "voc", "")
    assert shape_groups(index, np.arange(7)).tolist() == [-2, -2, -1, 0, 0, 1, 1]
    assert shape_groups(index, np.array([6, 0])).tolist() == [1, -2]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs `make gpu`")
def test_batches_are_pinned_for_a_gpu(demo_data, demo_index):
    """Data loaders pin only what they know, or what has this method."""
    dataset = TrainingSet(demo_data, demo_index, RULE)
    batch = OwnBatches(dataset, [[Pick(0, False)]], slice(0, 1))[0]
    pinned = batch.pin_memory()
    assert pinned.images.is_pinned()
    assert pinned.boxes.is_pinned()


@pytest.mark.parametrize(
    ("gpu", "cores", "processes", "count"),
    [(False, 16, 1, 1), (True, 1, 1, 1), (True, 6, 1, 5), (True, 64, 1, 8), (True, 64, 16, 3)],
)
def test_a_gpu_gets_as_many_workers_as_there_are_cores_for_it(
    gpu, cores, processes, count, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(cores))
    for name, value in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", processes)):
        monkeypatch.setenv(name, str(value))
    assert worker_count() == count
    assert worker_count(0) == 0


def test_garbage_is_gone_before_workers_are_forked():
    """A worker that destroys an ONNX Runtime session of its parent's never ends."""

    class Session:
        pass

    session, destroyed = Session(), []
    session.itself = session  # only the garbage collector finds it
    weakref.finalize(session, destroyed.append, True)
    gc.disable()
    try:
        del session
        assert destroyed == []
        assert list(data_loader([1, 2], workers=1, batch_size=None)) == [1, 2]
        assert destroyed == [True]
    finally:
        gc.enable()
