"""A model that names other files is refused before anything opens them."""

import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from components.errors import InputError
from components.export_onnx.graph import export_graph
from components.onnx_model.detector import OnnxDetector
from components.onnx_model.external import check_self_contained, tensors
from components.validate_onnx.run import check_file
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import (
    AnchorParameters,
    DetectionParameters,
    InputParameters,
    ProposalParameters,
    RoIHeadParameters,
)

SECRET = np.arange(4, dtype=np.float32) + 1234.5
VALUES = TensorProto.FLOAT


def outside(location):
    """A tensor whose values lie in another file."""
    tensor = TensorProto(name="w", data_type=VALUES, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def in_initializer(tensor):
    return [helper.make_node("Identity", ["w"], ["y"])], [tensor], []


def in_attribute(tensor):
    return [helper.make_node("Constant", [], ["y"], value=tensor)], [], []


def in_subgraph(tensor):
    info = helper.make_tensor_value_info("z", VALUES, [4])
    inner = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["z"])], "g", [], [info], [tensor]
    )
    always = numpy_helper.from_array(np.array(True))
    nodes = [
        helper.make_node("Constant", [], ["c"], value=always),
        helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner),
    ]
    return nodes, [], []


def in_function(tensor):
    inner = helper.make_node("Constant", [], ["z"], value=tensor)
    opset = [helper.make_opsetid("", 20)]
    function = helper.make_function("own", "F", [], ["z"], [inner], opset)
    return [helper.make_node("F", [], ["y"], domain="own")], [], [function]


PLACES = [in_initializer, in_attribute, in_subgraph, in_function]


def save(path, place, location):
    nodes, initializers, functions = place(outside(location))
    info = helper.make_tensor_value_info("y", VALUES, [4])
    graph = helper.make_graph(nodes, "g", [], [info], initializers)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(params=["parent", "absolute", "symlink", "beside"])
def location(request, tmp_path):
    """Where a hostile model says that its values are: in each case a file that is there."""
    folder = tmp_path / "given"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(SECRET.tobytes())
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "weights").write_bytes(SECRET.tobytes())
    places = {"parent": "../secret", "absolute": str(tmp_path / "secret")}
    return (places | {"symlink": "link", "beside": "weights"})[request.param]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_refused_by_name(place, location, tmp_path):
    path = save(tmp_path / "given" / "model.onnx", place, location)
    for check in (check_self_contained, OnnxDetector, check_file):
        with pytest.raises(
            InputError, match=r"model\.onnx: its tensor 'w' lies in another"
        ) as error:
            check(path)
        assert repr(location) in str(error.value)


def test_predict_says_so_and_opens_nothing(tmp_path):
    """A pipe with no one at its other end: whoever opens it to read waits for ever."""
    (tmp_path / "given").mkdir()
    os.mkfifo(tmp_path / "secret")
    path = save(tmp_path / "given" / "model.onnx", in_initializer, "../secret")
    (tmp_path / "a.png").touch()
    command = [sys.executable, "-m", "cli", "predict", path, tmp_path / "a.png"]
    command += ["--output", tmp_path / "out"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)
    assert done.returncode == 1
    assert "fourstep: " in done.stderr
    assert "'../secret', which is not opened" in done.stderr
    assert not (tmp_path / "out").exists()


def test_register_model_refuses_it(tmp_path):
    from components.register_model import RegisterModel
    from components.register_model.run import run
    from components.tracking import Run

    path = save(tmp_path / "model.onnx", in_initializer, "secret")
    fields = ("evaluation", "validation", "index", "metrics")
    stage = RegisterModel(model=path, **{name: tmp_path / name for name in fields})
    stage.validation.write_text('{"passed": 1.0}')
    stage.evaluation.write_text('{"shared": {"AP": 0.5}}')
    with pytest.raises(InputError, match="lies in another file, 'secret'"):
        run(stage, Run())
    assert not stage.metrics.exists()


def test_what_is_no_model_is_named(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x80\x04no model")
    with pytest.raises(InputError, match=r"model\.onnx: onnx cannot load it as a model"):
        check_self_contained(tmp_path / "model.onnx")


def test_what_is_exported_holds_all_its_tensors(tmp_path):
    torch.manual_seed(0)
    network = FasterRCNN(
        Architecture(
            backbone="tiny",
            norm="batch",
            classes=("a",),
            input=InputParameters(short_side=64, long_side=96),
            anchors=AnchorParameters(scales=(2.0,), ratios=(1.0,)),
            roi=RoIHeadParameters(operator="align"),
        )
    )
    limits = ProposalParameters(pre_nms=20, post_nms=4), DetectionParameters(max_detections=3)
    model = export_graph(network, *limits)
    assert len(list(tensors(model))) > 10
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    check_self_contained(path)
    assert onnx.load(path).graph == model.graph  # nothing beside it was needed
