import pytest
import torch
from torchvision.ops import nms

from models.nms import batched_nms_mask


def random_boxes(batch, count, seed=0):
    source = torch.Generator().manual_seed(seed)
    corner = torch.rand(batch, count, 2, generator=source) * 80
    boxes = torch.cat([corner, corner + 5 + torch.rand(batch, count, 2, generator=source) * 30], -1)
    return boxes, torch.rand(batch, count, generator=source)


def test_equals_torchvision_image_by_image_and_class_by_class():
    boxes, scores = random_boxes(3, 60)
    groups = torch.arange(60).repeat(3, 1) % 4
    valid = torch.ones(3, 60, dtype=torch.bool)
    mask = batched_nms_mask(boxes, scores, groups, valid, 0.3, 60)
    for image in range(3):
        for group in range(4):
            rows = torch.nonzero(groups[image] == group).flatten()
            kept = rows[nms(boxes[image, rows], scores[image, rows], 0.3)]
            assert set(kept.tolist()) == set(rows[mask[image, rows]].tolist())


def test_invalid_boxes_neither_survive_nor_suppress():
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 10]]])
    valid = torch.tensor([[False, True]])
    mask = batched_nms_mask(
        boxes, torch.tensor([[0.9, 0.1]]), torch.zeros(1, 2, dtype=torch.int64), valid, 0.5, 2
    )
    assert mask.tolist() == [[False, True]]


@pytest.mark.parametrize("most", [1, 3, 10, 200])
def test_with_a_limit_the_best_survivors_stay(most):
    boxes, scores = random_boxes(2, 200)
    one_group, valid = torch.zeros(2, 200, dtype=torch.int64), torch.ones(2, 200, dtype=torch.bool)
    mask = batched_nms_mask(boxes, scores, one_group, valid, 0.3, most)
    for image in range(2):
        kept = nms(boxes[image], scores[image], 0.3)
        assert set(mask[image].nonzero().flatten().tolist()) == set(kept[:most].tolist())
