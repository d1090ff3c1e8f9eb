"""The constants of the papers, as the documented parameters of what uses them.

Kept free of torch, so that a command line can show them at once. "Faster R-CNN" is Ren et al.
2015, "Fast R-CNN" is Girshick 2015; iteration counts and solver settings that the papers leave
open are those of the authors' own code (py-faster-rcnn, alternating optimisation).
"""

from dataclasses import dataclass, replace
from typing import Literal

from models.checks import LEAST_SIDE, check_at_least, check_fraction, check_positive

BackboneName = Literal["vgg16", "resnet18", "resnet50", "mobilenet_v2", "tiny"]
RoIOperator = Literal["pool", "align"]


@dataclass(frozen=True, kw_only=True, slots=True)
class InputParameters:
    """The resize rule: one scale (Fast R-CNN, 2.4 "brute force"), or an image pyramid's scales.

    On a pyramid each training image is resized to one scale at random, and at test each RoI is read
    from the scale at which it is nearest to ``roi_side`` squared pixels.
    """

    short_side: int = 600
    """Length to which an image's shorter side is resized, in pixels (Fast R-CNN, 4.2)."""
    long_side: int = 1000
    """Upper limit of the longer side after resizing, in pixels (Fast R-CNN, 4.2)."""
    scales: tuple[int, ...] = ()
    """Short sides of the image pyramid in pixels, short_side among them; none is brute force. The
    limit of the longer side grows with the scale."""
    roi_side: int = 224
    """Side of the square that a RoI's area is nearest to at the scale it is read from, in pixels of
    that scale (Fast R-CNN, 2.4)."""

    def __post_init__(self) -> None:
        check_at_least(self, "short_side", LEAST_SIDE)
        check_at_least(self, "long_side", self.short_side)
        check_positive(self, "roi_side")
        if self.scales:
            self._check_scales()

    def _check_scales(self) -> None:
        if len(self.scales) < 2 or list(self.scales) != sorted(set(self.scales)):
            raise ValueError(
                f"scales: {self.scales} must be two or more that rise; leave them out for one scale"
            )
        if self.scales[0] < LEAST_SIDE:
            raise ValueError(
                f"scales: {self.scales[0]} is not allowed, each must be at least {LEAST_SIDE}"
            )
        if self.short_side not in self.scales:
            raise ValueError(
                f"scales: short_side {self.short_side} is not among {self.scales}; add it, or give "
                "one of them as short_side (long_side is the limit at that scale)"
            )

    @property
    def levels(self) -> tuple["InputParameters", ...]:
        """The rule of each scale; of one scale, that of its own."""
        return tuple(map(self.at, self.scales)) or (self,)

    def at(self, scale: int) -> "InputParameters":
        """The rule of one scale, given as its short side; of 0, this rule with all its scales.

        The limit of the longer side grows in proportion: between two scales an image changes its
        size and not its shape.
        """
        if not scale:
            return self
        long_side = round(self.long_side * scale / self.short_side)
        return replace(self, short_side=scale, long_side=long_side, scales=())


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorParameters:
    """Anchors, centred on each cell of the feature map (Faster R-CNN, 3.1.1)."""

    base_size: int = 16
    """Side of the square that scales and ratios are applied to, in input pixels."""
    scales: tuple[float, ...] = (8.0, 16.0, 32.0)
    """Multiples of base_size: 128, 256 and 512 pixels squared (Faster R-CNN, 3.3)."""
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Height divided by width (Faster R-CNN, 3.3)."""

    def __post_init__(self) -> None:
        check_positive(self, "base_size", "scales", "ratios")

    def fit_inside(self, height: float, width: float) -> bool:
        """Whether an image of this size can hold at least one of the anchors."""
        roots = [self.base_size * scale for scale in self.scales]
        sides = [(root * ratio**0.5, root / ratio**0.5) for root in roots for ratio in self.ratios]
        return any(h <= height and w <= width for h, w in sides)


@dataclass(frozen=True, kw_only=True, slots=True)
class RPNTargetParameters:
    """Which anchors teach the RPN, and its loss (Faster R-CNN, 3.1.2 and 3.1.3)."""

    positive_iou: float = 0.7
    """An anchor with at least this IoU with some box is positive; so is each box's best anchor."""
    negative_iou: float = 0.3
    """An anchor with less than this IoU with every box is negative; the rest is ignored."""
    anchors_per_image: int = 256
    """Anchors sampled from an image."""
    positive_fraction: float = 0.5
    """Upper limit of the positive share of the sample; negatives fill it up."""
    smooth_l1_beta: float = 1 / 9
    """Where smooth L1 turns from square to linear: 1 / sigma^2 with sigma 3 (py-faster-rcnn)."""

    def __post_init__(self) -> None:
        check_fraction(self, "positive_iou", "negative_iou", "positive_fraction")
        check_positive(self, "anchors_per_image", "smooth_l1_beta")
        if int(self.anchors_per_image * self.positive_fraction) == 0:
            raise ValueError(
                f"positive_fraction: {self.positive_fraction} of anchors_per_image "
                f"{self.anchors_per_image} is no positive anchor; raise one of them"
            )
        if self.negative_iou > self.positive_iou:
            raise ValueError(
                f"negative_iou: {self.negative_iou} is above positive_iou {self.positive_iou}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ProposalParameters:
    """How RPN outputs become proposals (Faster R-CNN, 3.3)."""

    nms_iou: float = 0.7
    """IoU above which the lower-scored of two proposals is suppressed."""
    pre_nms: int = 0
    """Best-scored boxes that enter NMS; 0 means all (alternating training; end-to-end: 12000)."""
    post_nms: int = 2000
    """Proposals kept an image (test: 300)."""
    min_size: float = 16.0
    """Shortest side of a proposal, in input pixels (py-faster-rcnn RPN_MIN_SIZE)."""

    def __post_init__(self) -> None:
        check_fraction(self, "nms_iou")
        check_positive(self, "post_nms")
        check_at_least(self, "pre_nms", 0)
        if 0 < self.pre_nms < self.post_nms:
            raise ValueError(
                f"post_nms: {self.post_nms} proposals cannot be kept of pre_nms {self.pre_nms}; "
                "lower post_nms, or raise pre_nms (0 means all)"
            )
        check_at_least(self, "min_size", 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class RoITargetParameters:
    """Which RoIs teach the detector, and its loss (Fast R-CNN, 2.3)."""

    rois_per_batch: int = 128
    """R, the RoIs of a mini-batch; each of its N images gives R / N (hierarchical sampling)."""
    foreground_fraction: float = 0.25
    """Upper limit of the foreground share of the RoIs."""
    foreground_iou: float = 0.5
    """A RoI with at least this IoU with a box is foreground and takes its class."""
    background_iou_low: float = 0.1
    """Background RoIs have a best IoU in [low, foreground_iou); py-faster-rcnn uses 0 here."""
    smooth_l1_beta: float = 1.0
    """Where smooth L1 turns from square to linear: 1 / sigma^2 with sigma 1."""
    box_loss_weight: float = 1.0
    """Lambda of the multi-task loss (Fast R-CNN, eq. 1)."""

    def __post_init__(self) -> None:
        check_fraction(self, "foreground_fraction", "foreground_iou", "background_iou_low")
        check_positive(self, "rois_per_batch", "smooth_l1_beta")
        check_at_least(self, "box_loss_weight", 0)
        if self.background_iou_low >= self.foreground_iou:
            raise ValueError(
                f"background_iou_low: {self.background_iou_low} leaves no background below "
                f"foreground_iou {self.foreground_iou}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class RoIHeadParameters:
    """How a RoI's features are read (Fast R-CNN, 2.1)."""

    operator: RoIOperator = "pool"
    """RoI max pooling (the paper's) or RoIAlign (He et al. 2017, section 3)."""
    size: int = 7
    """H = W of the pooled grid."""

    def __post_init__(self) -> None:
        check_positive(self, "size")


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectionParameters:
    """How class scores and boxes become detections (py-faster-rcnn's test settings)."""

    score_threshold: float = 0.05
    """Detections must score above this."""
    nms_iou: float = 0.3
    """IoU above which the lower-scored of two detections of one class is suppressed."""
    max_detections: int = 100
    """Detections kept an image."""
    box_regression: bool = True
    """Whether detections have the regressed boxes, or their proposals' (Fast R-CNN, Table 6)."""

    def __post_init__(self) -> None:
        check_fraction(self, "score_threshold", "nms_iou")
        check_positive(self, "max_detections")
