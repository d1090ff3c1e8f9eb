"""The region proposal network (Faster R-CNN, 3.1)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.anchors import cell_anchors, grid_anchors, inside_image
from models.assignment import NEGATIVE, POSITIVE, assign_anchors
from models.boxes import encode_boxes, take_rows
from models.initialisation import init_normal
from models.losses import rpn_losses
from models.parameters import AnchorParameters, ProposalParameters, RPNTargetParameters
from models.proposals import Proposals, candidates, select_proposals
from models.sampling import sample_balanced
from models.share import WHOLE, Share


class RPN(nn.Module):
    """A 3 x 3 conv, then sibling 1 x 1 convs: one objectness logit and four deltas an anchor.

    The paper's two-class softmax equals this logistic regression (its footnote 3). New layers
    are drawn from N(0, 0.01), biases are 0 (3.1.3).
    """

    cells: Tensor

    def __init__(self, channels: int, hidden: int, stride: int, anchors: AnchorParameters) -> None:
        super().__init__()
        self.stride = stride
        self.register_buffer("cells", cell_anchors(anchors), persistent=False)
        self.conv = nn.Conv2d(channels, hidden, 3, padding=1)
        self.objectness = nn.Conv2d(hidden, len(self.cells), 1)
        self.deltas = nn.Conv2d(hidden, 4 * len(self.cells), 1)
        for layer in (self.conv, self.objectness, self.deltas):
            init_normal(layer, std=0.01)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (B, N), deltas (B, N, 4) and anchors (N, 4) of feature maps (B, D, H, W)."""
        hidden = self.conv(features).relu()
        logits = self.objectness(hidden).float().permute(0, 2, 3, 1).flatten(1)
        deltas = self.deltas(hidden).float().permute(0, 2, 3, 1).reshape(features.shape[0], -1, 4)
        return logits, deltas, self.anchors(features)

    def anchors(self, features: Tensor) -> Tensor:
        """The anchors (N, 4) of feature maps (B, D, H, W)."""
        height, width = features.shape[-2:]
        return grid_anchors(self.cells, height, width, self.stride)

    def of_anchors(self, features: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, S) and deltas (B, S, 4) of the anchors ``index`` (B, S) alone.

        What `forward` gives for them; but a training step samples one anchor in ten or more, and
        the 3 x 3 conv at the other cells would be most of the work of the RPN's layers.
        """
        cell, kind = index // len(self.cells), index % len(self.cells)
        hidden = F.linear(
            neighbourhoods(features, cell), by_pixel(self.conv), self.conv.bias
        ).relu()
        logits = F.linear(hidden, by_pixel(self.objectness), self.objectness.bias)
        deltas = F.linear(hidden, by_pixel(self.deltas), self.deltas.bias)
        of_kind = kind[..., None, None].expand(-1, -1, 1, 4)
        return (
            logits.float().gather(2, kind[..., None]).squeeze(2),
            deltas.float().unflatten(2, (-1, 4)).gather(2, of_kind).squeeze(2),
        )

    def losses(
        self,
        features: Tensor,
        sizes: Tensor,
        ground_truth: Tensor,
        parameters: RPNTargetParameters,
        generator: torch.Generator,
        share: Share = WHOLE,
    ) -> dict[str, Tensor]:
        """The losses ``rpn_class`` and ``rpn_box`` on a sample of anchors.

        Args:
            features: (B, D, H, W).
            sizes: (B, 2) height and width of each image within the padded batch.
            ground_truth: (B, K, 4), padded with boxes without area.
            parameters: assignment, sampling and loss.
            generator: of the random sample.
            share: of the mini-batch, that these images are.
        """
        anchors = self.anchors(features)
        labels, matches = assign_anchors(
            anchors,
            inside_image(anchors, sizes),
            ground_truth,
            parameters.positive_iou,
            parameters.negative_iou,
        )
        index, positive, sampled = sample_balanced(
            labels == POSITIVE,
            labels == NEGATIVE,
            parameters.anchors_per_image,
            parameters.positive_fraction,
            generator,
            share,
        )
        matched = take_rows(ground_truth, matches.gather(1, index))
        targets = encode_boxes(matched, anchors[index])
        logits, deltas = self.of_anchors(features, index)
        return rpn_losses(
            logits,
            deltas,
            positive,
            sampled,
            targets,
            parameters.smooth_l1_beta,
            share,
        )

    def propose(self, features: Tensor, sizes: Tensor, parameters: ProposalParameters) -> Proposals:
        """Proposals of feature maps (B, D, H, W) for images of sizes (B, 2)."""
        return select_proposals(self.candidates(features, sizes, parameters), parameters)

    def candidates(
        self, features: Tensor, sizes: Tensor, parameters: ProposalParameters
    ) -> Proposals:
        """What enters NMS of feature maps (B, D, H, W) for images of sizes (B, 2)."""
        logits, deltas, anchors = self(features)
        return candidates(logits, deltas, anchors, sizes, parameters)


def neighbourhoods(features: Tensor, cells: Tensor) -> Tensor:
    """The 3 x 3 cells around each of the cells (B, S) of maps (B, D, H, W): (B, S, 9 D).

    Zero outside the map; the order is row, column, channel, as in `by_pixel`.
    """
    batch, _, height, width = features.shape
    around = torch.arange(-1, 2, device=cells.device)
    rows = ((cells // width)[..., None] + around)[..., :, None]
    columns = ((cells % width)[..., None] + around)[..., None, :]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    image = torch.arange(batch, device=cells.device)[:, None, None, None] * (height * width)
    nearest = image + rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    pixels = features.permute(0, 2, 3, 1).flatten(0, 2)
    found = pixels.index_select(0, nearest.flatten()) * inside.flatten()[:, None]
    return found.reshape(*cells.shape, -1)


def by_pixel(conv: nn.Conv2d) -> Tensor:
    """A conv's weight as that of a linear layer on neighbourhoods: (outputs, k k D)."""
    return conv.weight.permute(0, 2, 3, 1).flatten(1)
