"""How new layers start."""

from torch import nn


def init_normal(layer: nn.Conv2d | nn.Linear, std: float) -> None:
    """Draw a layer's weights from N(0, std) and set its bias to 0."""
    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
