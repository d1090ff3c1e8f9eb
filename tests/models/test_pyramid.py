"""The image pyramid: which scale each RoI is read from, and what comes of all scales together."""

import pytest
import torch

from models.boxes import box_area
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import (
    AnchorParameters,
    DetectionParameters,
    InputParameters,
    ProposalParameters,
    RoIHeadParameters,
)
from models.pyramid import (
    Pyramid,
    detect,
    image_pyramid,
    pool_from_levels,
    propose,
    rescale,
    roi_levels,
)

SIDES = ((48, 64), (72, 96), (96, 127))
SIZES = [torch.tensor(side).expand(2, 2) for side in SIDES]
LIMITS = ProposalParameters(post_nms=20, min_size=2)
DETECTION = DetectionParameters(score_threshold=0.0)


@pytest.fixture(params=["align", "pool"])
def network(request):
    torch.manual_seed(0)
    return FasterRCNN(
        Architecture(
            backbone="tiny",
            norm="batch",
            classes=("a", "b"),
            input=InputParameters(short_side=48, long_side=64, scales=(48, 72, 96)),
            anchors=AnchorParameters(scales=(1.0, 2.0)),
            roi=RoIHeadParameters(operator=request.param, size=5),
        )
    ).eval()


@pytest.fixture
def images():
    source = torch.Generator().manual_seed(1)
    return [torch.randint(0, 256, (2, 3, *side), generator=source) for side in SIDES]


def some_rois(count=40):
    """RoIs (2, count, 4) of all sizes within 48 x 64 pixels."""
    corners = torch.rand(2, count, 2, 2, generator=torch.Generator().manual_seed(2))
    corners = corners * torch.tensor([64.0, 48.0])
    return torch.cat([corners.amin(2), corners.amax(2)], dim=-1)


def reference_level(roi, image, side):
    """The rule for one RoI, in plain numbers."""
    x1, y1, x2, y2 = roi.tolist()
    height, width = SIZES[0][image].tolist()
    distances = []
    for sizes in SIZES:
        h, w = sizes[image].tolist()
        area = (x2 - x1) * (w / width) * (y2 - y1) * (h / height)
        distances.append(abs(area - side * side))
    return distances.index(min(distances))


def test_each_roi_goes_to_the_scale_where_its_area_is_nearest():
    rois, side = some_rois(), 30
    found = roi_levels(rois, SIZES, side)
    expected = [[reference_level(roi, n, side) for roi in rois[n]] for n in range(2)]
    assert found.tolist() == expected
    assert set(found.flatten().tolist()) == {0, 1, 2}


def test_levels_by_hand():
    # 20 x 20 pixels at the first scale are 30 x 30 at the second, 40 x 39.7 at the third.
    rois = torch.tensor([[[4.0, 4, 24, 24]], [[0.0, 0, 1, 1]]])
    assert roi_levels(rois, SIZES, 20).tolist() == [[0], [2]]
    assert roi_levels(rois, SIZES, 30).tolist() == [[1], [2]]
    assert roi_levels(rois, SIZES, 224).tolist() == [[2], [2]]


def test_of_two_scales_that_are_equally_near_it_is_the_first():
    sizes = [torch.tensor([[40, 40]]), torch.tensor([[80, 80]])]
    rois = torch.tensor([[[0.0, 0, 2, 2]]])  # 4 and 16 square pixels: 10 is as far from both
    assert roi_levels(rois, sizes, 10**0.5).tolist() == [[0]]
    assert roi_levels(torch.zeros(1, 3, 4), sizes, 224).tolist() == [[0, 0, 0]]


def test_boxes_go_to_another_scale_and_back():
    rois = some_rois()
    there = rescale(rois, SIZES[0], SIZES[2])
    assert torch.allclose(box_area(there), box_area(rois) * 96 * 127 / (48 * 64), rtol=1e-4)
    assert torch.allclose(rescale(there, SIZES[2], SIZES[0]), rois, atol=1e-4)


def test_a_roi_is_pooled_from_its_own_scale(network, images):
    rois, detector = some_rois(), network.require_detector()
    with torch.inference_mode():
        pyramid = image_pyramid(network, images, SIZES)
        found = pool_from_levels(detector, pyramid, rois, 30)
        for n, roi in enumerate(rois.flatten(0, 1)):
            image = n // rois.shape[1]
            level = reference_level(roi, image, 30)
            there = rescale(roi[None, None], SIZES[0][:1], SIZES[level][:1])
            maps = pyramid.maps[level][image : image + 1]
            assert torch.equal(found[n], detector.pool(maps, there)[0])


def test_one_scale_is_brute_force_bit_by_bit(network, images):
    with torch.inference_mode():
        pyramid = image_pyramid(network, images[:1], SIZES[:1])
        given = propose(network.require_rpn(), pyramid, LIMITS)
        found = detect(network.require_detector(), pyramid, given, 224, DETECTION)
        expected = network.propose(images[0], SIZES[0], LIMITS)
        whole = network.detect(images[0], SIZES[0], LIMITS, DETECTION)
    assert all(torch.equal(a, b) for a, b in zip(given, expected, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(found, whole, strict=True))


def test_detections_of_a_pyramid_lie_in_the_images(network, images):
    with torch.inference_mode():
        pyramid = image_pyramid(network, images, SIZES)
        given = propose(network.require_rpn(), pyramid, LIMITS)
        found = detect(network.require_detector(), pyramid, given, 30, DETECTION)
    assert given.boxes.shape == (2, 20, 4)
    assert (found.counts > 0).all()
    assert (found.boxes >= 0).all()
    assert (found.boxes <= torch.tensor([64, 48, 64, 48])).all()


class Fixed:
    """An RPN whose candidates are given, scale by scale."""

    def __init__(self, *each):
        self.each = iter(each)

    def candidates(self, maps, sizes, parameters):
        from models.proposals import Proposals

        boxes, scores = next(self.each)
        boxes, scores = torch.tensor([boxes]), torch.tensor([scores])
        return Proposals(boxes, scores, torch.ones_like(scores, dtype=torch.bool))


def test_nms_runs_over_the_boxes_of_all_scales():
    small, large = torch.tensor([[40, 60]]), torch.tensor([[80, 120]])
    pyramid = Pyramid((torch.zeros(1), torch.zeros(1)), (small, large))
    rpn = Fixed(
        ([[0.0, 0, 10, 10], [20, 20, 30, 30]], [0.9, 0.5]),
        ([[0.0, 0, 20, 20], [80, 40, 120, 80]], [0.8, 0.7]),  # the first is the other's first
    )
    found = propose(rpn, pyramid, ProposalParameters(post_nms=4))
    assert found.valid.tolist() == [[True, True, True, False]]
    assert found.scores[0, :3].tolist() == pytest.approx([0.9, 0.7, 0.5])
    assert found.boxes[0, :3].tolist() == [[0, 0, 10, 10], [40, 20, 60, 40], [20, 20, 30, 30]]
