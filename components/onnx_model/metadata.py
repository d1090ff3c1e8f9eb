"""What an exported detector tells about itself, in the ONNX file's metadata.

====================  =========================================================================
``fourstep``          version of this format, and the mark of a detector of this project
``classes``           JSON list; label n is the n-th name, from 1 on
``resize``            JSON: ``short_side`` and ``long_side`` in pixels; the scale is the largest
                      that keeps within both, sides are rounded, bilinear with antialiasing
``proposals``         JSON: limits of the proposals
``detection``         JSON: score threshold, NMS IoU and the number of detections an image
``upstream``          JSON: SHA-256 of the checkpoint (``detector``) and of what it was made from
====================  =========================================================================
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from components.errors import InputError
from models.parameters import DetectionParameters, InputParameters, ProposalParameters

FORMAT = "1"


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxMetadata:
    """The metadata of one detector."""

    classes: tuple[str, ...]
    resize: InputParameters
    proposals: ProposalParameters
    detection: DetectionParameters
    upstream: dict[str, str]

    def to_strings(self) -> dict[str, str]:
        """As ONNX keeps it: strings by key."""
        scale = {name: getattr(self.resize, name) for name in ("short_side", "long_side")}
        content = asdict(self) | {"resize": scale}
        values = {key: json.dumps(value, sort_keys=True) for key, value in content.items()}
        return {"fourstep": FORMAT} | values

    @classmethod
    def from_strings(cls, strings: Mapping[str, str], path: object) -> "OnnxMetadata":
        """From a model's metadata.

        Raises:
            InputError: ``path`` is no detector of this project, or one of another format.
        """
        if (found := strings.get("fourstep")) != FORMAT:
            reason = (
                f"has format {found}, not {FORMAT}" if found else "was not exported by fourstep"
            )
            raise InputError(f"{path}: this ONNX model {reason}; export it with export_onnx")
        try:
            return cls(
                classes=tuple(json.loads(strings["classes"])),
                resize=InputParameters(**json.loads(strings["resize"])),
                proposals=ProposalParameters(**json.loads(strings["proposals"])),
                detection=DetectionParameters(**json.loads(strings["detection"])),
                upstream=json.loads(strings["upstream"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: its metadata is damaged ({error!r}); export again") from None
