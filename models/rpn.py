"""The region proposal network (Faster R-CNN, 3.1)."""

import torch
from torch import Tensor, nn

from models.anchors import cell_anchors, grid_anchors, inside_image
from models.assignment import NEGATIVE, POSITIVE, assign_anchors
from models.boxes import encode_boxes, take_rows
from models.initialisation import init_normal
from models.losses import rpn_losses
from models.parameters import AnchorParameters, ProposalParameters, RPNTargetParameters
from models.proposals import Proposals, select_proposals
from models.sampling import sample_balanced


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
        logits = self.objectness(hidden).permute(0, 2, 3, 1).flatten(1)
        deltas = self.deltas(hidden).permute(0, 2, 3, 1).reshape(features.shape[0], -1, 4)
        height, width = features.shape[-2:]
        return logits, deltas, grid_anchors(self.cells, height, width, self.stride)

    def losses(
        self,
        features: Tensor,
        sizes: Tensor,
        ground_truth: Tensor,
        parameters: RPNTargetParameters,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The losses ``rpn_class`` and ``rpn_box`` on a sample of anchors.

        Args:
            features: (B, D, H, W).
            sizes: (B, 2) height and width of each image within the padded batch.
            ground_truth: (B, K, 4), padded with boxes without area.
            parameters: assignment, sampling and loss.
            generator: of the random sample.
        """
        logits, deltas, anchors = self(features)
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
        )
        matched = take_rows(ground_truth, matches.gather(1, index))
        targets = encode_boxes(matched, anchors[index])
        return rpn_losses(
            logits.gather(1, index),
            take_rows(deltas, index),
            positive,
            sampled,
            targets,
            parameters.smooth_l1_beta,
        )

    def propose(self, features: Tensor, sizes: Tensor, parameters: ProposalParameters) -> Proposals:
        """Proposals of feature maps (B, D, H, W) for images of sizes (B, 2)."""
        logits, deltas, anchors = self(features)
        return select_proposals(logits, deltas, anchors, sizes, parameters)
