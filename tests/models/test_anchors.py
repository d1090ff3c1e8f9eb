import pytest
import torch

from models.anchors import cell_anchors, grid_anchors, inside_image
from models.parameters import AnchorParameters


def test_the_papers_nine_anchors():
    anchors = cell_anchors(AnchorParameters())
    assert anchors.shape == (9, 4)
    size = anchors[:, 2:] - anchors[:, :2]
    assert size.prod(1).sqrt().round().tolist() == [128, 256, 512] * 3
    assert (size[:, 1] / size[:, 0]).tolist() == pytest.approx([0.5] * 3 + [1] * 3 + [2] * 3)
    assert torch.allclose(anchors[:, :2], -anchors[:, 2:])


def test_grid_is_ordered_by_row_column_anchor():
    cells = cell_anchors(AnchorParameters(base_size=16, scales=(1.0, 2.0), ratios=(1.0,)))
    grid = grid_anchors(cells, height=2, width=3, stride=16)
    assert grid.shape == (12, 4)
    assert grid[0].tolist() == [0, 0, 16, 16]
    assert grid[2].tolist() == [16, 0, 32, 16]
    assert grid[6].tolist() == [0, 16, 16, 32]


def test_anchors_that_cross_the_border_are_outside():
    anchors = torch.tensor([[0.0, 0, 16, 16], [-1, 0, 15, 16], [0, 0, 17, 16]])
    inside = inside_image(anchors, torch.tensor([[16, 16], [16, 20]]))
    assert inside.tolist() == [[True, False, False], [True, False, True]]
