"""Export, strip, annotate, write."""

from math import prod
from pathlib import Path

import onnx

from components.digest import path_digest
from components.export_onnx import ExportOnnx
from components.metrics import write_metrics
from components.networks.checkpoint import check_parts, load_network, read_checkpoint
from components.onnx_model.metadata import OnnxMetadata
from components.tracking import Run


def run(stage: ExportOnnx, run: Run) -> None:
    """Write the ONNX file and its figures."""
    checkpoint = read_checkpoint(stage.detector)
    check_parts(checkpoint, "rpn", "detector")
    network = load_network(stage.detector)
    from components.export_onnx.graph import export_graph  # the exporter takes seconds

    model = export_graph(network, stage.proposals, stage.detection, stage.input_type)
    metadata = OnnxMetadata(
        classes=network.architecture.classes,
        resize=network.architecture.input,
        proposals=stage.proposals,
        detection=stage.detection,
        upstream=checkpoint.upstream | {"detector": path_digest(stage.detector)},
    )
    onnx.helper.set_model_props(model, metadata.to_strings())
    onnx.checker.check_model(model, full_check=True)
    stage.model.write_bytes(model.SerializeToString(deterministic=True))
    write_metrics(stage.metrics, figures(model, stage.model))


def figures(model: onnx.ModelProto, path: Path) -> dict[str, int]:
    """Size in bytes, nodes, weights and opset of a model."""
    return {
        "bytes": path.stat().st_size,
        "nodes": len(model.graph.node),
        "parameters": sum(prod(t.dims) for t in model.graph.initializer),
        "opset": next(o.version for o in model.opset_import if not o.domain),
    }
