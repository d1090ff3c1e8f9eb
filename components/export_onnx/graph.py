"""From network to ONNX graph: the detector with its post-processing, for any batch and size."""

import logging
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import onnx
import torch
from onnxscript import opset20
from torch import Tensor, nn

from models.faster_rcnn import FasterRCNN
from models.parameters import DetectionParameters, ProposalParameters

OPSET = 20
op: Any = opset20  # typed for values; here it is given the graph's symbols
BELOW_ZERO = -0.5
"""Scores must be above this; those of boxes that take no part are -1."""
FALSE, TRUE = (onnx.helper.make_tensor("", onnx.TensorProto.BOOL, [1], [v]) for v in (False, True))
OUTPUTS = {
    "boxes": ("batch", "detections", 4),
    "scores": ("batch", "detections"),
    "labels": ("batch", "detections"),
    "count": ("batch",),
}
"""The outputs' names and dimensions."""


class ExportedDetector(nn.Module):
    """The detector as it is exported: images in, detections out, all limits fixed."""

    def __init__(
        self, network: FasterRCNN, proposals: ProposalParameters, detection: DetectionParameters
    ) -> None:
        super().__init__()
        self.network = network
        self.proposals = proposals
        self.detection = detection

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Detections in images (B, 3, H, W), RGB, 0..255, as `models.fast_rcnn.Detections`."""
        batch, _, height, width = images.shape
        size = [torch.full((batch,), side, device=images.device) for side in (height, width)]
        sizes = torch.stack(size, dim=1)
        return tuple(self.network.detect(images.float(), sizes, self.proposals, self.detection))


def export_graph(
    network: FasterRCNN,
    proposals: ProposalParameters,
    detection: DetectionParameters,
    input_type: str = "uint8",
) -> onnx.ModelProto:
    """The network as an ONNX model, weights inside; the same network gives the same bytes."""
    module = ExportedDetector(network, proposals, detection).eval()
    # Batch, height and width differ from each other and from 1, so that none is taken for fixed.
    example = torch.zeros(2, 3, 160, 192, dtype=getattr(torch, input_type))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's use of a deprecated name of torch
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: "batch", 2: "height", 3: "width"},),
            custom_translation_table=translations(),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no model")
    return stripped(program.model_proto)


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """How operators are written that the exporter does not know (or not rightly)."""
    return {
        torch.ops.torchvision.roi_pool.default: max_roi_pool,
        torch.ops.fourstep.nms_mask.default: non_max_suppression,
    }


def max_roi_pool(features: Any, rois: Any, scale: float, height: int, width: int) -> Any:
    """``torchvision::roi_pool`` as MaxRoiPool.

    Both round a RoI's corners to whole cells, the last one included. The second output of
    torchvision's operator, the places of the maxima, serves its gradient only.
    """
    pooled = op.MaxRoiPool(features, rois, pooled_shape=(height, width), spatial_scale=scale)
    return pooled, op.Identity(pooled)


def non_max_suppression(boxes: Any, scores: Any, iou_threshold: float, most: int) -> Any:
    """``fourstep::nms_mask`` as NonMaxSuppression, which takes batches as they are.

    It takes scores (B, 1, N), of one class, and gives rows of image, class and box.
    """
    floor = op.Constant(value_float=BELOW_ZERO)
    limit = op.Constant(value_float=iou_threshold)
    most = op.Constant(value_int=most)
    of_one_class = op.Unsqueeze(scores, op.Constant(value_ints=[1]))
    kept = op.NonMaxSuppression(boxes, of_one_class, most, limit, floor)
    image_and_box = op.Gather(kept, op.Constant(value_ints=[0, 2]), axis=1)
    nothing = op.Expand(op.Constant(value=FALSE), op.Shape(scores))
    rows = op.Gather(op.Shape(kept), op.Constant(value_ints=[0]))
    return op.ScatterND(nothing, image_and_box, op.Expand(op.Constant(value=TRUE), rows))


def stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what the exporter notes about its making: stack traces with paths.

    Shapes of intermediate values go too: they are long formulas that each runtime finds itself.
    """
    graph = model.graph
    clear_notes([model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output])
    del graph.value_info[:]
    for output in graph.output:
        shape = output.type.tensor_type.shape
        del shape.dim[:]
        for side in OUTPUTS[output.name]:
            shape.dim.add(**{"dim_value" if isinstance(side, int) else "dim_param": side})
    return model


def clear_notes(parts: Iterable[Any]) -> None:
    """Clear the doc string and metadata of each part of a model."""
    for part in parts:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
