import torch

from models.roi_pooling import pool_rois


def test_pool_takes_the_maximum_of_each_sub_window():
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    roi = torch.tensor([[[0.0, 0, 3, 3]]])
    assert pool_rois(features, roi, "pool", 2, 1).flatten().tolist() == [5, 7, 13, 15]


def test_align_averages_samples():
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    roi = torch.tensor([[[0.0, 0, 4, 4]]])
    # Each quarter's mean, up to the clamping of samples at the border.
    assert torch.allclose(
        pool_rois(features, roi, "align", 2, 1).flatten(),
        torch.tensor([2.5, 4.5, 10.5, 12.5]),
        atol=0.7,
    )


def test_rois_read_their_own_image_at_the_features_scale():
    features = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
    rois = torch.tensor([[[0.0, 0, 32, 32]], [[0.0, 0, 32, 32]]])
    for operator in ("pool", "align"):
        pooled = pool_rois(features, rois, operator, 2, 16)
        assert pooled.shape == (2, 1, 2, 2)
        assert pooled[0].max() == 0
        assert pooled[1].min() == 1
