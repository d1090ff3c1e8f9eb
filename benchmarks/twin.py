"""The twin: torchvision's own Faster R-CNN on the trunk, anchors and head of one of our networks.

Composed of torchvision's parts alone. Anchors, numbers of samples and thresholds are those of
presets/bccd.yaml; what torchvision does not let one set stays as torchvision has it.
"""

from collections import OrderedDict
from collections.abc import Iterable

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN as TorchvisionFasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import Conv2dNormActivation, FrozenBatchNorm2d, MultiScaleRoIAlign

from benchmarks.ours import SOLVER, Laps, usual_solver
from components.networks.device import default_device
from components.training.batches import Batch
from components.training.parameters import SolverParameters
from components.training.solver import build_optimizer, in_precision
from models.faster_rcnn import FasterRCNN
from models.parameters import AnchorParameters, DetectionParameters, ProposalParameters

Targets = list[dict[str, Tensor]]


class MeanOverCells(nn.Module):
    """(N, D, H, W) to (N, D)."""

    def forward(self, features: Tensor) -> Tensor:
        """Mean over the spatial dimensions."""
        return features.mean(dim=(2, 3))


def trunk_and_head(name: str) -> tuple[nn.Module, nn.Module, int, int]:
    """Torchvision's classifier cut where ours is: trunk, per-RoI head, the channels of both."""
    if name == "vgg16":
        vgg = torchvision.models.vgg16(init_weights=False)
        head = nn.Sequential(OrderedDict(flatten=nn.Flatten(), classifier=vgg.classifier[:-1]))
        return named(features=vgg.features[:-1]), head, 512, 4096
    if name == "mobilenet_v2":
        features = torchvision.models.mobilenet_v2(norm_layer=FrozenBatchNorm2d).features
        head = named(features=features[14:], mean=MeanOverCells())
        return named(features=features[:14]), head, 96, 1280
    net = torchvision.models.get_model(name, weights=None, norm_layer=FrozenBatchNorm2d)
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
    trunk = named(**{part: getattr(net, part) for part in names})
    width = net.fc.in_features
    return trunk, named(layer4=net.layer4, mean=MeanOverCells()), width // 2, width


def named(**modules: nn.Module) -> nn.Sequential:
    """The modules in sequence, under their names."""
    return nn.Sequential(OrderedDict(modules))


def torchvision_twin(
    network: FasterRCNN, proposals: ProposalParameters, detection: DetectionParameters
) -> TorchvisionFasterRCNN:
    """The twin of a network with both parts, with its weights (`copy_weights`).

    The RPN's hidden conv is as wide as ours: torchvision's would be as wide as the trunk, with
    ResNet-50 twice as much work.

    Args:
        network: whose shape and weights are taken.
        proposals: limits in eval mode; in training torchvision's own 2000 of 2000.
        detection: limits of the detections.
    """
    architecture, rpn = network.architecture, network.require_rpn()
    anchors = architecture.anchors or AnchorParameters()
    trunk, head, channels, head_channels = trunk_and_head(architecture.backbone)
    trunk.out_channels = channels  # type: ignore[assignment]  # torchvision reads it there
    hidden = rpn.conv.out_channels
    rpn_head = RPNHead(hidden, len(anchors.scales) * len(anchors.ratios))
    rpn_head.conv = nn.Sequential(Conv2dNormActivation(channels, hidden, 3, norm_layer=None))
    sides = tuple(int(anchors.base_size * scale) for scale in anchors.scales)
    twin = TorchvisionFasterRCNN(
        trunk,
        min_size=architecture.input.short_side,
        max_size=architecture.input.long_side,
        rpn_anchor_generator=AnchorGenerator((sides,), (tuple(anchors.ratios),)),
        rpn_head=rpn_head,
        rpn_pre_nms_top_n_test=proposals.pre_nms,
        rpn_post_nms_top_n_test=proposals.post_nms,
        rpn_nms_thresh=proposals.nms_iou,
        box_roi_pool=MultiScaleRoIAlign(["0"], 7, sampling_ratio=2),
        box_head=head,
        box_predictor=FastRCNNPredictor(head_channels, len(architecture.classes) + 1),
        box_score_thresh=detection.score_threshold,
        box_nms_thresh=detection.nms_iou,
        box_detections_per_img=detection.max_detections,
        box_batch_size_per_image=64,
        rpn_batch_size_per_image=256,
    )
    copy_weights(network, twin)
    if architecture.norm == "frozen":
        for name, parameter in trunk.named_parameters():
            parameter.requires_grad_(not name.startswith(network.fixed))
    return twin


def copy_weights(network: FasterRCNN, twin: TorchvisionFasterRCNN) -> None:
    """Give the twin our network's weights: both then compute the same features and scores."""
    rpn, detector = network.require_rpn(), network.require_detector()
    twin.backbone.load_state_dict(network.shared.state_dict())
    twin.roi_heads.box_head.load_state_dict(detector.head.state_dict())
    predictor = twin.roi_heads.box_predictor
    pairs = [
        (twin.rpn.head.conv[0][0], rpn.conv),
        (twin.rpn.head.cls_logits, rpn.objectness),
        (twin.rpn.head.bbox_pred, rpn.deltas),
        (predictor.cls_score, detector.class_scores),
    ]
    for theirs, ours in pairs:
        theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():  # theirs has four deltas for background too, which are never used
        predictor.bbox_pred.weight[:4] = 0
        predictor.bbox_pred.weight[4:] = detector.box_deltas.weight
        predictor.bbox_pred.bias[:4] = 0
        predictor.bbox_pred.bias[4:] = detector.box_deltas.bias


def as_torchvision(batch: Batch) -> tuple[list[Tensor], Targets]:
    """A batch as torchvision takes it: images (3, H, W) in 0..1, a dictionary of boxes each."""
    images = [
        pixels[:, : int(size[0]), : int(size[1])].float() / 255
        for pixels, size in zip(batch.images, batch.sizes, strict=True)
    ]
    targets = [
        {"boxes": boxes[labels > 0], "labels": labels[labels > 0]}
        for boxes, labels in zip(batch.boxes, batch.labels, strict=True)
    ]
    return images, targets


def to_device(images: list[Tensor], targets: Targets, device: str) -> tuple[list[Tensor], Targets]:
    """Both on the device."""
    moved = [{name: value.to(device) for name, value in target.items()} for target in targets]
    return [image.to(device) for image in images], moved


def twin_step(
    twin: TorchvisionFasterRCNN,
    optimizer: torch.optim.Optimizer,
    images: list[Tensor],
    targets: Targets,
    solver: SolverParameters,
) -> Tensor:
    """One joint training step in the solver's precision; its loss, left on the device."""
    with in_precision(solver):
        loss = torch.stack(list(twin(images, targets).values())).sum()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach()


def timed_twin(
    twin: TorchvisionFasterRCNN,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    solver: SolverParameters | None = None,
) -> tuple[Laps, list[float]]:
    """Joint training steps, one a batch; the laps and the losses."""
    laps, device, losses = Laps(), default_device().type, []
    solver = solver or usual_solver()
    twin.train()
    for batch in laps.through(batches, device):
        images, targets = as_torchvision(batch)
        losses.append(twin_step(twin, optimizer, *to_device(images, targets, device), solver))
    return laps, torch.stack(losses).tolist()


def twin_optimizer(twin: TorchvisionFasterRCNN) -> torch.optim.Optimizer:
    """The optimizer of presets/bccd.yaml for the twin, made by the function that makes ours."""
    return build_optimizer([twin], SOLVER)
