"""Check, compare on pairs, compare AP, time."""

import json
from pathlib import Path
from typing import Any

import onnx
import torch

from components.dataset.index import Index, read_index
from components.digest import path_digest
from components.errors import CheckFailed, InputError
from components.metrics import write_metrics
from components.networks.checkpoint import open_network
from components.networks.inference import detect_split
from components.networks.scale import scale_metric
from components.onnx_model.detector import OnnxDetector
from components.onnx_model.external import check_self_contained
from components.scoring.average_precision import coco_metrics
from components.tracking import Run
from components.validate_onnx import ValidateOnnx
from components.validate_onnx.agreement import Agreement, Tolerance, combine
from components.validate_onnx.networks import as_network, torch_detect
from components.validate_onnx.pairs import batches, compare_batch, load_batch, scaled_size
from components.validate_onnx.timing import latencies, timing_table
from models.faster_rcnn import FasterRCNN


def run(stage: ValidateOnnx, run: Run) -> None:
    """Write metrics.json if the exported detector equals the trained one.

    Raises:
        CheckFailed: it does not; the message names the largest difference.
    """
    # TF32 keeps 10 bits of the mantissa: too few to tell a wrong weight from rounding.
    torch.backends.cudnn.allow_tf32 = False
    check_file(stage.model)
    index = read_index(stage.index)
    network = open_network(stage.detector, index.classes, "rpn", "detector")
    cuda, threads = torch.cuda.is_available(), torch.get_num_threads()
    exported = OnnxDetector(stage.model, cuda=cuda, threads=threads)
    check_origin(stage, exported)
    print(f"ONNX Runtime runs on {exported.provider}, {threads} CPU threads")
    run.tags({"onnx_provider": exported.provider})
    agreement = compare_pairs(stage, index, network, exported)
    scores = compare_ap(stage, index, network, exported)
    errors = {
        "passed": 1.0,
        "detections": agreement.detections,
        "unmatched": agreement.unmatched,
        "max_box_error": agreement.box_error,
        "max_score_error": agreement.score_error,
    }
    scale = scale_metric(network.architecture.input, exported.metadata.resize)
    write_metrics(stage.metrics, errors | scores | scale)
    if stage.runs:
        time_both(stage, run, index, network, exported)


def check_file(path: Path) -> None:
    """Run ONNX's own checker, with shape inference.

    Raises:
        CheckFailed: with what it found.
        InputError: the model names other files; the checker would look for them.
    """
    check_self_contained(path)
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # noqa: BLE001 (the checker raises protobuf's errors as well)
        raise CheckFailed(f"{path}: not a valid ONNX model ({error})") from None


def check_origin(stage: ValidateOnnx, exported: OnnxDetector) -> None:
    """Refuse a pair of files that do not belong together.

    Raises:
        InputError: the model was exported from another checkpoint.
    """
    origin, given = exported.metadata.upstream.get("detector"), path_digest(stage.detector)
    if origin != given:
        raise InputError(
            f"{stage.model} was exported from another checkpoint (SHA-256 {origin}) than "
            f"{stage.detector} ({given}); run export_onnx again"
        )


def compare_pairs(
    stage: ValidateOnnx, index: Index, network: FasterRCNN, exported: OnnxDetector
) -> Agreement:
    """Compare detections on each (batch, size) pair and print the result.

    Raises:
        CheckFailed: too many detections have no equal on the other side.
    """
    tolerance = Tolerance(box=stage.box_tolerance, score=stage.score_tolerance)
    limits, trained = exported.metadata.detection, torch_detect(network, exported)
    parts = []
    for batch in batches(stage.data, index, stage.split, exported.metadata.resize):
        part = compare_batch(batch, trained, exported.detect, limits, tolerance)
        parts.append(part)
        print(
            f"batch {batch}: {part.detections} compared, {part.unmatched} without an equal, "
            f"boxes within {part.box_error:.2g} pixels, scores within {part.score_error:.2g}"
        )
    agreement = combine(parts)
    if agreement.unmatched > stage.unmatched_share * agreement.detections:
        raise CheckFailed(
            f"{stage.model} does not detect what {stage.detector} does: {agreement.unmatched} of "
            f"{agreement.detections} detections have no equal within {tolerance.box} pixels and "
            f"{tolerance.score} in score. The largest difference: {agreement.worst[1]}"
        )
    return agreement


def compare_ap(
    stage: ValidateOnnx, index: Index, network: FasterRCNN, exported: OnnxDetector
) -> dict[str, Any]:
    """AP and AP50 of both on the whole split at the exported scale, and their differences.

    Raises:
        CheckFailed: a difference is above the tolerance.
    """
    limits, result = exported.metadata, {}
    both = {"torch": network, "onnx": as_network(exported)}
    for name, detector in both.items():
        found = detect_split(
            detector,
            limits.resize,
            stage.data,
            index,
            stage.split,
            proposals=limits.proposals,
            detection=limits.detection,
            batch_size=stage.batch_size,
            description=f"AP of {name}",
        )
        metrics = coco_metrics(index, stage.split, found)
        result[name] = {key: metrics[key] for key in ("AP", "AP50")}
    result["difference"] = {k: abs(v - result["onnx"][k]) for k, v in result["torch"].items()}
    for key, difference in result["difference"].items():
        if difference > stage.ap_tolerance:
            raise CheckFailed(
                f"{stage.model}: {key} on split '{stage.split}' is {result['onnx'][key]:.4f}, the "
                f"trained network's is {result['torch'][key]:.4f}; {stage.ap_tolerance} is allowed"
            )
    return result


def time_both(
    stage: ValidateOnnx, run: Run, index: Index, network: FasterRCNN, exported: OnnxDetector
) -> None:
    """Time batches of one image and of ``batch_size``; print, record and keep the result."""
    detectors = {"PyTorch": torch_detect(network, exported), "ONNX Runtime": exported.detect}
    image = index.image(index.rows(stage.split)[0])
    size = scaled_size(image, exported.metadata.resize, 1)
    table = {
        count: latencies(
            detectors, load_batch(stage.data, [image] * count, size).pixels, stage.runs
        )
        for count in sorted({1, stage.batch_size})
    }
    print(f"{exported.provider}, images of {size[0]} x {size[1]}, median of {stage.runs} runs")
    print(timing_table(table))
    for count, by_name in table.items():
        named = {name.replace(" ", "_").lower(): value for name, value in by_name.items()}
        run.metrics({f"latency_ms/batch_{count}/{name}": v for name, v in named.items()})
    content = {"provider": exported.provider, "size": size, "latency_ms": table}
    stage.scratch.mkdir(parents=True, exist_ok=True)
    (stage.scratch / "timings.json").write_text(json.dumps(content, indent=1) + "\n")
