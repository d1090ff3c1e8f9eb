"""export_onnx: every backbone and both RoI operators, run in ONNX Runtime beside eager torch."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn
from torchvision.ops import roi_pool

from components.errors import InputError
from components.export_onnx import ExportOnnx
from components.export_onnx.graph import export_graph
from components.export_onnx.run import run
from components.networks.checkpoint import save_checkpoint
from components.onnx_model.detector import OnnxDetections, OnnxDetector
from components.onnx_model.metadata import OnnxMetadata
from components.tracking import Run
from components.validate_onnx.agreement import Tolerance, combine, compare
from components.validate_onnx.pairs import by_image
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import (
    AnchorParameters,
    DetectionParameters,
    InputParameters,
    ProposalParameters,
    RoIHeadParameters,
)

PROPOSALS = ProposalParameters(pre_nms=1000, post_nms=50, min_size=4)
DETECTION = DetectionParameters(max_detections=20)


def build(backbone, norm, operator):
    """A random network whose scores are far enough from each other to be told apart."""
    torch.manual_seed(0)
    network = FasterRCNN(
        Architecture(
            backbone=backbone,
            norm=norm,
            classes=("a", "b", "c"),
            input=InputParameters(short_side=64, long_side=96),
            anchors=AnchorParameters(scales=(1.0, 2.0)),
            roi=RoIHeadParameters(operator=operator),
        )
    ).eval()
    return spread(network)


def spread(network):
    """Weights that keep the signal alive, with logits and deltas of unit size.

    Larger ones would saturate: many scores of exactly 1, in any order.
    """
    for layer in network.shared.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    rpn, detector = network.rpn, network.detector
    rois = torch.tensor([[[0.0, 0.0, 30.0, 30.0], [50.0, 20.0, 90.0, 90.0]]])
    with torch.no_grad():
        features = network.features(images(1, 96, 96))
        rpn.conv.weight /= rpn.conv(features).std()
        logits, deltas, _ = rpn(features)
        rpn.objectness.weight *= 2 / logits.std()
        rpn.deltas.weight *= 0.3 / deltas.std()
        logits, deltas = detector(features, rois)
        detector.class_scores.weight *= 2 / logits.std()
        detector.box_deltas.weight *= 0.3 / deltas.std()
    return network


def narrow_vgg16():
    """VGG16 with 16 units in fc6 and fc7, not 4096: the same operators without the 480 MB."""
    small = build("tiny", "batch", "pool")
    with torch.device("meta"):
        network = FasterRCNN(
            Architecture(
                backbone="vgg16",
                norm="frozen",
                classes=small.architecture.classes,
                input=small.architecture.input,
                anchors=small.architecture.anchors,
                roi=small.architecture.roi,
            )
        )
        classifier = network.detector.head.classifier
        classifier[0], classifier[3] = nn.Linear(512 * 49, 16), nn.Linear(16, 16)
        network.detector.class_scores = nn.Linear(16, 4)
        network.detector.box_deltas = nn.Linear(16, 12)
    network.to_empty(device="cpu").eval()
    buffers = dict(small.named_buffers())
    for name, buffer in network.named_buffers():
        buffer.copy_(buffers[name])
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.normal_(parameter, std=0.01)
    return spread(network)


def images(batch, height, width):
    generator = torch.Generator().manual_seed(height)
    return torch.randint(0, 255, (batch, 3, height, width), generator=generator, dtype=torch.uint8)


def assert_equal(path, network, pixels, unmatched_share=0.0):
    """The same shapes, types and detections, but for the order of equal scores."""
    sizes = torch.tensor(pixels.shape[2:]).expand(len(pixels), 2)
    with torch.inference_mode():
        found = network.detect(pixels, sizes, PROPOSALS, DETECTION)
    expected = OnnxDetections(*(v.numpy() for v in found))
    actual = OnnxDetector(path, threads=1).detect(pixels.numpy())
    assert [v.shape for v in actual] == [v.shape for v in expected]
    assert [v.dtype for v in actual] == [np.float32, np.float32, np.int64, np.int64]
    result = combine(
        compare(one, other, DETECTION, Tolerance(box=0.01, score=1e-4), "")
        for one, other in zip(by_image(expected), by_image(actual), strict=True)
    )
    assert result.unmatched <= unmatched_share * result.detections, result
    return actual


@pytest.fixture(scope="module")
def tiny():
    return build("tiny", "batch", "align")


@pytest.fixture(scope="module")
def stage(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    detector = folder / "detector.safetensors"
    save_checkpoint(detector, tiny.state_dict(), tiny.architecture, {}, {"data": "d" * 64})
    stage = ExportOnnx(
        detector=detector,
        model=folder / "model.onnx",
        metrics=folder / "metrics.json",
        proposals=PROPOSALS,
        detection=DETECTION,
    )
    run(stage, Run())
    return stage


# The last two have fewer anchors than proposals are asked for; 16 x 16 is the smallest input.
@pytest.mark.parametrize(
    "shape", [(1, 64, 96), (2, 64, 64), (3, 97, 131), (1, 17, 23), (2, 16, 16)]
)
def test_any_batch_and_size(stage, tiny, shape):
    assert_equal(stage.model, tiny, images(*shape))


def test_the_network_detects_something(stage, tiny):
    assert assert_equal(stage.model, tiny, images(2, 64, 96)).count.min() > 3


def test_the_file_says_what_it_is(stage):
    model = onnx.load(stage.model)
    onnx.checker.check_model(model, full_check=True)
    strings = {p.key: p.value for p in model.metadata_props}
    metadata = OnnxMetadata.from_strings(strings, stage.model)
    assert metadata.classes == ("a", "b", "c")
    assert metadata.resize == InputParameters(short_side=64, long_side=96)
    assert (metadata.proposals, metadata.detection) == (PROPOSALS, DETECTION)
    assert metadata.upstream["data"] == "d" * 64
    assert len(metadata.upstream["detector"]) == 64
    assert [i.name for i in model.graph.input] == ["images"]
    shapes = {
        o.name: [d.dim_param or d.dim_value for d in o.type.tensor_type.shape.dim]
        for o in model.graph.output
    }
    assert shapes == {
        "boxes": ["batch", "detections", 4],
        "scores": ["batch", "detections"],
        "labels": ["batch", "detections"],
        "count": ["batch"],
    }


def test_the_metrics_are_those_of_the_file(stage):
    metrics = json.loads(stage.metrics.read_text())
    assert metrics["bytes"] == stage.model.stat().st_size
    assert metrics["opset"] == 20
    # Seven convs and norms, the RPN and the two last layers: 327 thousand weights and some.
    assert metrics["parameters"] > 300_000


def test_no_paths_in_the_file(stage):
    content = stage.model.read_bytes()
    assert b".py" not in content
    assert str(stage.detector.parent).encode() not in content


def test_the_same_bytes_again_and_float_pixels(stage, tiny, tmp_path):
    """A float model differs in nothing but its input; a second export in nothing at all."""
    first = onnx.load(stage.model)
    del first.metadata_props[:]
    again = export_graph(tiny, PROPOSALS, DETECTION)
    assert again.SerializeToString(deterministic=True) == first.SerializeToString(
        deterministic=True
    )
    real = export_graph(tiny, PROPOSALS, DETECTION, "float32")
    real.metadata_props.extend(onnx.load(stage.model).metadata_props)
    onnx.save(real, tmp_path / "float.onnx")
    assert real.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert_equal(tmp_path / "float.onnx", tiny, images(2, 64, 96))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: build("resnet18", "frozen", "pool"), id="resnet18-pool"),
        pytest.param(lambda: build("mobilenet_v2", "frozen", "align"), id="mobilenet_v2-align"),
        pytest.param(narrow_vgg16, id="vgg16-pool"),
    ],
)
def test_every_backbone_exports(make, stage, tmp_path):
    network = make()
    model = export_graph(network, PROPOSALS, DETECTION)
    model.metadata_props.extend(onnx.load(stage.model).metadata_props)
    onnx.save(model, tmp_path / "model.onnx")
    # In a random network many things are decided by a hair: NMS, and RoI pooling's rounding.
    pixels = images(2, 192, 240)
    assert_equal(tmp_path / "model.onnx", network, pixels, unmatched_share=0.1)


def test_max_roi_pool_is_torchvisions_roi_pool():
    """Bit-equal, with corners on half cells (where rounding decides) and outside the map."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 4, 12, 16, generator=generator)
    corners = torch.rand(500, 2, 2, generator=generator) * torch.tensor([300.0, 220.0]) - 20
    corners[:250] = (corners[:250] / 8).round() * 8
    corners = corners.sort(dim=1).values.flatten(1)
    image = torch.randint(0, 2, (500, 1), generator=generator)
    rois = torch.cat([image, corners], dim=1)
    node = helper.make_node(
        "MaxRoiPool", ["x", "rois"], ["y"], pooled_shape=[7, 7], spatial_scale=1 / 16
    )
    names = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", "rois")}
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", list(names.values()), [output])
    opset = helper.make_opsetid("", 20)
    proto = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (pooled,) = session.run(None, {"x": features.numpy(), "rois": rois.numpy()})
    np.testing.assert_array_equal(pooled, roi_pool(features, rois, 7, 1 / 16).numpy())


def test_a_checkpoint_without_rpn_is_refused(tmp_path):
    architecture = Architecture(
        backbone="tiny", norm="batch", classes=("a",), input=InputParameters()
    )
    network = FasterRCNN(architecture)
    save_checkpoint(tmp_path / "a.safetensors", network.state_dict(), architecture, {}, {})
    stage = ExportOnnx(
        detector=tmp_path / "a.safetensors", model=tmp_path / "m", metrics=tmp_path / "j"
    )
    with pytest.raises(InputError, match=r"a\.safetensors: this checkpoint has no rpn"):
        run(stage, Run())
