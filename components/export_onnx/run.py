"""Export, strip, annotate, write."""

from math import prod
from pathlib import Path

import onnx

from components.digest import path_digest
from components.errors import InputError
from components.export_onnx import ExportOnnx
from components.metrics import write_metrics
from components.networks.checkpoint import Checkpoint, check_parts, load_network, read_checkpoint
from components.onnx_model.metadata import OnnxMetadata
from components.tracking import Run
from models.parameters import InputParameters


def run(stage: ExportOnnx, run: Run) -> None:
    """Write the ONNX file and its figures.

    Raises:
        InputError: the checkpoint lacks a part, or was trained on a pyramid and no scale is given.
    """
    checkpoint = read_checkpoint(stage.detector)
    check_parts(checkpoint, "rpn", "detector")
    rule = one_scale(checkpoint, stage.scale)
    network = load_network(stage.detector)
    from components.export_onnx.graph import export_graph  # the exporter takes seconds

    model = export_graph(network, stage.proposals, stage.detection, stage.input_type)
    metadata = OnnxMetadata(
        classes=network.architecture.classes,
        resize=rule,
        proposals=stage.proposals,
        detection=stage.detection,
        upstream=checkpoint.upstream | {"detector": path_digest(stage.detector)},
    )
    onnx.helper.set_model_props(model, metadata.to_strings())
    onnx.checker.check_model(model, full_check=True)
    stage.model.write_bytes(model.SerializeToString(deterministic=True))
    write_metrics(stage.metrics, figures(model, stage.model))


def one_scale(checkpoint: Checkpoint, scale: int) -> InputParameters:
    """The rule by which images are resized for the exported detector.

    Raises:
        InputError: ``scale`` is 0, but the checkpoint was trained on several.
    """
    rule = checkpoint.architecture.input.at(scale)
    if rule.scales:
        raise InputError(
            f"{checkpoint.path}: was trained on an image pyramid, short sides {rule.scales}, and "
            "the ONNX file is a detector at one scale: it has one input `images`, whereas a "
            "pyramid needs an input and a run of the trunk for each scale, and what reads the "
            "file (fourstep predict, validate_onnx) resizes an image once. Give export_onnx.scale "
            f"and evaluate.scale the same one of them, {rule.scales[-1]} say"
        )
    return rule


def figures(model: onnx.ModelProto, path: Path) -> dict[str, int]:
    """Size in bytes, nodes, weights and opset of a model."""
    return {
        "bytes": path.stat().st_size,
        "nodes": len(model.graph.node),
        "parameters": sum(prod(t.dims) for t in model.graph.initializer),
        "opset": next(o.version for o in model.opset_import if not o.domain),
    }
