import gc
import itertools
import weakref

import numpy as np
import pytest
import torch

from components.dataset.images import resize_image, resized_size, stack_padded
from components.dataset.workers import data_loader
from components.training.batches import Pick, TrainingSet, collate, shuffled_picks, training_batches
from models.parameters import InputParameters

RULE = InputParameters(short_side=128, long_side=160)


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


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_and_a_late_start_change_nothing(demo_data, demo_index, workers):
    dataset = TrainingSet(demo_data, demo_index, RULE)
    settings = {"split": "train", "batch_size": 2, "flip": True, "seed": 3}
    whole = list(training_batches(dataset, **settings, first=0, last=6, workers=0))
    late = list(training_batches(dataset, **settings, first=4, last=6, workers=workers))
    for a, b in zip(whole[4:], late, strict=True):
        assert a.files == b.files
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.boxes, b.boxes)


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
        assert list(data_loader([1, 2], num_workers=1, batch_size=None)) == [1, 2]
        assert destroyed == [True]
    finally:
        gc.enable()
