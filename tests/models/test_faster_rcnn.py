import pytest
import torch

from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import (
    AnchorParameters,
    DetectionParameters,
    InputParameters,
    ProposalParameters,
    RoIHeadParameters,
    RPNTargetParameters,
)


def architecture(backbone="tiny", **changes):
    values = {
        "backbone": backbone,
        "norm": "frozen",
        "classes": ("a", "b", "c"),
        "input": InputParameters(),
        "anchors": AnchorParameters(scales=(1.0, 2.0)),
        "roi": RoIHeadParameters(operator="align", size=7),
    }
    return Architecture(**(values | changes))


@pytest.mark.parametrize("backbone", ["tiny", "resnet18", "resnet50", "mobilenet_v2", "vgg16"])
def test_every_backbone_detects_at_its_stride(backbone):
    torch.manual_seed(0)
    network = FasterRCNN(architecture(backbone)).eval()
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    sizes = torch.tensor([[64, 96], [50, 80]])
    with torch.inference_mode():
        features = network.features(images)
        assert features.shape == (2, network.channels, 64 // network.stride, 96 // network.stride)
        limits = ProposalParameters(post_nms=8, min_size=0)
        found = network.detect(images, sizes, limits, DetectionParameters(score_threshold=0.0))
    assert found.boxes.shape[::2] == (2, 4)
    assert (found.boxes[1, :, 2] <= 80).all()
    assert (found.boxes[1, :, 3] <= 50).all()
    assert found.labels.max() <= 3


def test_new_rpn_layers_start_from_the_papers_distribution():
    rpn = FasterRCNN(architecture("mobilenet_v2")).require_rpn()
    for layer in (rpn.conv, rpn.objectness, rpn.deltas):
        assert abs(layer.weight.std().item() - 0.01) < 1e-3
        assert not layer.bias.any()


def test_vgg16_keeps_conv1_and_conv2():
    network = FasterRCNN(architecture("vgg16"))
    names = [
        name for name, _ in network.shared.named_parameters() if name.startswith(network.fixed)
    ]
    # conv1_1, conv1_2, conv2_1, conv2_2: torchvision's layers 0, 2, 5 and 7.
    assert sorted({name.split(".")[1] for name in names}) == ["0", "2", "5", "7"]


def test_vgg16_names_the_roi_size_that_fits():
    with pytest.raises(ValueError, match=r"roi\.size: 5"):
        FasterRCNN(architecture("vgg16", roi=RoIHeadParameters(size=5)))


def test_absent_parts_are_named():
    network = FasterRCNN(architecture(anchors=None, roi=None))
    with pytest.raises(ValueError, match="no RPN"):
        network.require_rpn()
    with pytest.raises(ValueError, match="no detector"):
        network.require_detector()


def test_rpn_loss_falls_on_one_image():
    torch.manual_seed(0)
    network = FasterRCNN(architecture())
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    truth = torch.tensor([[[8.0, 8, 40, 40]]])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for step in range(40):
        generator = torch.Generator().manual_seed(step)
        features = network.features(images)
        sizes = torch.tensor([[64, 64]])
        terms = network.require_rpn().losses(
            features, sizes, truth, RPNTargetParameters(), generator
        )
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_padding_of_a_batch_teaches_nothing():
    # The same image alone and padded: anchors in the padding are outside of its size.
    torch.manual_seed(0)
    rpn = FasterRCNN(architecture()).require_rpn()
    features = torch.rand(1, 96, 8, 8)
    padded = torch.nn.functional.pad(features, (0, 4, 0, 4))
    truth = torch.tensor([[[8.0, 8, 40, 40]]])
    settings = RPNTargetParameters(anchors_per_image=10_000)

    def losses(maps):
        generator = torch.Generator().manual_seed(0)
        return rpn.losses(maps, torch.tensor([[56, 56]]), truth, settings, generator)

    alone, with_padding = losses(features), losses(padded)
    for name, value in alone.items():
        assert value.item() == pytest.approx(with_padding[name].item(), rel=1e-4)
