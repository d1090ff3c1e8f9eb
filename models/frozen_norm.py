"""Frozen batch norm, folded into the conv before it.

A frozen norm multiplies and shifts each channel by constants. Done to the conv's weight and bias
it costs nothing; done to the feature maps, as torchvision's does, it costs three passes over them.
"""

from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d


class FoldedNorm(FrozenBatchNorm2d):
    """The constants of a frozen norm, for the conv before it, which applies them."""

    def forward(self, x: Tensor) -> Tensor:
        """The maps as they came."""
        return x

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """What each channel is multiplied by, then shifted by: (D,) each."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale


class NormedConv2d(nn.Conv2d):
    """A conv without bias and the frozen norm that follows it, in one operation."""

    def __init__(self, conv: nn.Conv2d, norm: FoldedNorm) -> None:
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            conv.groups,
            bias=False,
        )
        self.weight = conv.weight
        self._norm = (norm,)  # in a tuple, so that it stays its own parent's child alone

    def forward(self, x: Tensor) -> Tensor:
        """Normed maps (B, D, h, w) of maps (B, C, H, W)."""
        scale, shift = self._norm[0].scale_and_shift()
        return self._conv_forward(x, self.weight * scale[:, None, None, None], shift)


def fold_frozen_norms(module: nn.Module) -> None:
    """Put a `NormedConv2d` for each conv that a `FoldedNorm` follows; names stay as they were.

    In torchvision's classifiers each norm is registered right after its conv.

    Raises:
        ValueError: a norm does not follow a conv without bias; it would be lost.
    """
    for parent in list(module.modules()):
        before, conv = "", parent
        for name, child in list(parent.named_children()):
            if isinstance(child, FoldedNorm):
                if not isinstance(conv, nn.Conv2d) or conv.bias is not None:
                    raise ValueError(f"norm '{name}' does not follow a conv without bias")
                setattr(parent, before, NormedConv2d(conv, child))
            before, conv = name, child
