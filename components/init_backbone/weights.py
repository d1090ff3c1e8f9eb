"""Pretrained weights: torchvision's download by name, or a local file. No pickle is executed."""

import struct
import sys
from pathlib import Path
from pickle import UnpicklingError

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from components.digest import path_digest
from components.errors import InputError
from models.backbones import Backbone
from models.parameters import BackboneName

DAMAGED = (RuntimeError, ValueError, EOFError, TypeError, LookupError, AttributeError, struct.error)
"""What torch's reader, which runs nothing, stumbles over in a file of something else."""


def torchvision_weights(name: BackboneName) -> dict[str, Tensor]:
    """The state dict of torchvision's default ImageNet weights, downloaded once.

    Raises:
        InputError: torchvision has none of this name, or the download fails.
    """
    try:
        weights = torchvision.models.get_model_weights(name)["DEFAULT"]
    except (ValueError, KeyError):
        raise InputError(
            f"weights: torchvision has no weights for '{name}'; use none, crops or a file"
        ) from None
    try:
        # Only a download's hash is checked, not that of a file in torch's cache.
        shown = {"progress": sys.stderr.isatty()}  # a bar, which is no help in a log
        return dict(weights.get_state_dict(**shown, check_hash=True, weights_only=True))
    except UnpicklingError as error:
        raise InputError(
            f"weights: what torch's cache holds as {weights} is no plain tensors ({error}); "
            f"remove {torch.hub.get_dir()}/checkpoints"
        ) from None
    except OSError as error:
        raise InputError(
            f"weights: the download of {weights} failed ({error}); check the network, or give "
            "the path of a local file"
        ) from None


def file_weights(path: Path, sha256: str = "") -> dict[str, Tensor]:
    """The tensors of a safetensors or state-dict file.

    Raises:
        InputError: the file is absent, has another digest or is no plain state dict.
    """
    if not path.is_file():
        raise InputError(f"weights: {path} is no file; give a path, none, crops or torchvision")
    if sha256 and path_digest(path) != sha256:
        raise InputError(f"weights: {path} has SHA-256 {path_digest(path)}, not {sha256}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = dict(torch.load(path, map_location="cpu", weights_only=True))
        if not all(isinstance(value, Tensor) for value in found.values()):
            raise ValueError("some of its values are no tensors")
        return found
    except (SafetensorError, UnpicklingError, *DAMAGED) as error:
        raise InputError(f"weights: {path} holds no plain tensors ({error})") from None


def load_weights(backbone: Backbone, tensors: dict[str, Tensor]) -> None:
    """Copy tensors by torchvision's names into a backbone; the classifier's last layer is left.

    A file of the convs alone, such as ``mobilenet_v2().features``, is taken too.

    Raises:
        InputError: tensors are missing.
    """
    names = backbone.shared.state_dict().keys() | backbone.head.state_dict().keys()
    if not names & tensors.keys():
        tensors = {f"features.{name}": value for name, value in tensors.items()}
    missing = sorted(names - tensors.keys())
    if missing:
        raise InputError(
            f"weights: {len(missing)} tensors of the backbone are not in the file, the first is "
            f"'{missing[0]}'; the names must be torchvision's"
        )
    for part in (backbone.shared, backbone.head):
        part.load_state_dict({name: tensors[name] for name in part.state_dict()})
