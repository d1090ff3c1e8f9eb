import pytest
import torch
from safetensors.torch import save_file

from components.digest import path_digest
from components.errors import InputError
from components.init_backbone import CropParameters, weights
from components.init_backbone.crops import training_crops
from components.init_backbone.weights import file_weights, load_weights, torchvision_weights
from models.backbones import build_backbone


def whole_state(backbone):
    return {**backbone.shared.state_dict(), **backbone.head.state_dict()}


@pytest.fixture(scope="module")
def resnet():
    return build_backbone("resnet18", "frozen")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_local_file_in_torchvisions_layout(tmp_path, resnet, suffix):
    tensors = {name: torch.rand_like(v) for name, v in whole_state(resnet).items()}
    tensors["fc.weight"] = torch.rand(3)  # the classifier's last layer is not wanted
    path = tmp_path / f"w{suffix}"
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    other = build_backbone("resnet18", "frozen")
    load_weights(other, file_weights(path, path_digest(path)))
    for name, value in whole_state(other).items():
        assert torch.equal(value, tensors[name])


def test_a_file_of_the_features_alone():
    backbone = build_backbone("mobilenet_v2", "frozen")
    tensors = {
        n.removeprefix("features."): torch.rand_like(v) for n, v in whole_state(backbone).items()
    }
    load_weights(backbone, tensors)
    assert torch.equal(backbone.shared.state_dict()["features.0.0.weight"], tensors["0.0.weight"])
    assert torch.equal(
        backbone.head.state_dict()["features.17.conv.2.weight"], tensors["17.conv.2.weight"]
    )


def test_missing_tensors_are_counted_and_named(resnet):
    tensors = whole_state(resnet)
    del tensors["conv1.weight"], tensors["layer4.0.conv1.weight"]
    with pytest.raises(InputError, match=r"2 tensors .* the first is 'conv1\.weight'"):
        load_weights(resnet, tensors)


def test_a_wrong_digest_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.pth is no file"):
        file_weights(tmp_path / "nowhere.pth")
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"has SHA-256 .*, not 00"):
        file_weights(tmp_path / "w.safetensors", "00")


def test_a_hostile_pickle_runs_nothing(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    torch.save({"a": Hostile()}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="holds no plain tensors"):
        file_weights(tmp_path / "w.pth")
    assert not (tmp_path / "owned").exists()


def test_torchvisions_download_is_by_name_and_checked(tmp_path, monkeypatch, resnet):
    # The download itself, from a local folder: torchvision's own code, its address replaced.
    tensors = whole_state(resnet)
    torch.save(tensors, tmp_path / "raw.pth")
    digest = path_digest(tmp_path / "raw.pth")
    named = tmp_path / f"resnet18-{digest[:8]}.pth"
    (tmp_path / "raw.pth").rename(named)
    default = weights.torchvision.models.get_model_weights("resnet18")["DEFAULT"]
    monkeypatch.setattr(default.value, "url", named.as_uri())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    found = torchvision_weights("resnet18")
    assert torch.equal(found["conv1.weight"], tensors["conv1.weight"])


def test_a_failed_download_and_an_unknown_name_are_named(tmp_path, monkeypatch):
    default = weights.torchvision.models.get_model_weights("resnet18")["DEFAULT"]
    monkeypatch.setattr(default.value, "url", (tmp_path / "nowhere-00000000.pth").as_uri())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    with pytest.raises(InputError, match=r"download .* failed"):
        torchvision_weights("resnet18")
    with pytest.raises(InputError, match="no weights for 'tiny'"):
        torchvision_weights("tiny")


def test_crops_are_objects_and_background_of_the_training_split(demo_data, demo_index):
    crops, labels = training_crops(demo_data, demo_index, CropParameters(size=16), seed=1)
    objects = sum(len(demo_index.image(row).boxes) for row in demo_index.rows("train"))
    assert crops.shape == (len(labels), 3, 16, 16)
    assert crops.dtype == torch.uint8
    assert (labels > 0).sum() == objects
    assert (labels == 0).any()
    assert torch.equal(crops, training_crops(demo_data, demo_index, CropParameters(size=16), 1)[0])
