"""Where networks run, and how they lie there."""

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def default_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def on_device(network: Network) -> Network:
    """The network on the default device, its weights channels last: convs are faster that way."""
    return network.to(default_device()).to(memory_format=torch.channels_last)
