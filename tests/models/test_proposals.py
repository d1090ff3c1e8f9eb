import torch

from models.parameters import ProposalParameters
from models.proposals import candidates, select_proposals

ANCHORS = torch.tensor([[0.0, 0, 40, 40], [2, 2, 42, 42], [60, 60, 100, 100], [80, 0, 84, 4]])


def select(logits, sizes=((100, 100),), **limits):
    batch = len(logits)
    deltas = torch.zeros(batch, len(ANCHORS), 4)
    parameters = ProposalParameters(**{"min_size": 16, **limits})
    found = candidates(torch.tensor(logits), deltas, ANCHORS, torch.tensor(sizes), parameters)
    return select_proposals(found, parameters)


def test_nms_size_limit_and_order():
    found = select([[1.0, 2.0, 0.0, 5.0]])
    assert found.valid.tolist() == [[True, True, False, False]]
    assert found.boxes[0, :2].tolist() == [[2, 2, 42, 42], [60, 60, 100, 100]]
    assert (found.scores[0, 0] - torch.tensor(2.0).sigmoid()).abs() < 1e-6


def test_limits_before_and_after_nms():
    assert select([[1.0, 2.0, 0.0, 5.0]], pre_nms=2, post_nms=2).valid.sum() == 1
    assert select([[1.0, 2.0, 0.0, 5.0]], post_nms=1).boxes.shape == (1, 1, 4)


def test_clipped_to_each_images_own_size():
    found = select([[1.0, 2.0, 3.0, 0.0]] * 2, sizes=((100, 100), (80, 90)))
    assert found.boxes[0, 0].tolist() == [60, 60, 100, 100]
    assert found.boxes[1, 0].tolist() == [60, 60, 90, 80]


def test_images_of_a_batch_do_not_touch_each_other():
    both = select([[1.0, 2.0, 0.0, 5.0], [4.0, 2.0, 0.0, 5.0]], sizes=((100, 100),) * 2)
    alone = select([[4.0, 2.0, 0.0, 5.0]])
    assert torch.equal(both.boxes[1], alone.boxes[0])
    assert torch.equal(both.valid[1], alone.valid[0])
