import pytest
import torch
from safetensors.torch import save_file

from components.errors import InputError
from components.networks.checkpoint import load_network, load_part, read_checkpoint, save_checkpoint
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import AnchorParameters, InputParameters, RoIHeadParameters


def network(**changes):
    values = {
        "backbone": "tiny",
        "norm": "frozen",
        "classes": ("cat", "<dog>"),
        "input": InputParameters(short_side=64, long_side=80),
        "anchors": AnchorParameters(scales=(1.0, 2.0)),
        "roi": RoIHeadParameters(operator="align", size=5),
    }
    return FasterRCNN(Architecture(**(values | changes)))


def save(path, net):
    save_checkpoint(path, net.state_dict(), net.architecture, {"solver.lr": 0.1}, {"data": "d1"})


def test_a_network_comes_back_whole(tmp_path):
    net = network()
    save(tmp_path / "c", net)
    read = read_checkpoint(tmp_path / "c")
    assert read.architecture == net.architecture
    assert (read.parameters, read.upstream) == ({"solver.lr": 0.1}, {"data": "d1"})
    for name, value in load_network(tmp_path / "c").state_dict().items():
        assert torch.equal(value, net.state_dict()[name])


def test_equal_values_give_equal_bytes(tmp_path):
    net = network()
    save(tmp_path / "1", net)
    save(tmp_path / "2", net)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_a_part_of_another_shape_is_named(tmp_path):
    save(tmp_path / "c", network(anchors=AnchorParameters(scales=(1.0,))))
    with pytest.raises(InputError, match="its part 'rpn' does not fit"):
        load_part(read_checkpoint(tmp_path / "c"), network(), "rpn")


def test_an_absent_part_is_named(tmp_path):
    save(tmp_path / "c", network(anchors=None))
    with pytest.raises(InputError, match="its part 'rpn' does not fit"):
        load_part(read_checkpoint(tmp_path / "c"), network(), "rpn")


def test_what_is_no_checkpoint_is_named(tmp_path):
    (tmp_path / "text").write_text("no")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign")
    for name in ("text", "foreign"):
        with pytest.raises(InputError, match=f"{name}: not a fourstep checkpoint"):
            read_checkpoint(tmp_path / name)
