"""No pickle is ever loaded: one that writes a file when loaded is put wherever files are read.

The fixture `marker` checks that the file was not written. Of an input, the error names the file.
"""

import ast
import io
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml

from components.dataset.index import SCHEMA as INDEX
from components.dataset.index import read_index, write_index
from components.dataset.proposal_file import SCHEMA as PROPOSALS
from components.dataset.proposal_file import ProposalFile
from components.digest import path_digest
from components.errors import InputError
from components.init_backbone import weights
from components.init_backbone.weights import file_weights, torchvision_weights
from components.main import main
from components.networks.checkpoint import load_network, read_checkpoint
from components.onnx_model.detector import OnnxDetector
from components.training.features import FeatureFolder
from components.training.resume import Progress, ResumePoint

ROOT = Path(__file__).parents[2]
CODE = ("models", "components", "pipelines", "cli", "benchmarks")


class Hostile:
    """Writes a file when its pickle is loaded."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.fixture
def marker(tmp_path):
    """The file that a hostile pickle writes; no test may leave it."""
    path = tmp_path / "owned"
    pickle.loads(pickle.dumps(Hostile(path))).close()
    assert path.exists()  # it does what it should where it is loaded
    path.unlink()
    yield path
    assert not path.exists()


def plain(marker):
    return pickle.dumps({"a": Hostile(marker)})


def torch_zip(marker):
    buffer = io.BytesIO()
    torch.save({"a": Hostile(marker)}, buffer)
    return buffer.getvalue()


def torch_legacy(marker):
    buffer = io.BytesIO()
    torch.save({"a": Hostile(marker)}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def array(marker):
    buffer = io.BytesIO()
    np.save(buffer, np.array([Hostile(marker)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def arrays(marker):
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([Hostile(marker)], dtype=object))
    return buffer.getvalue()


def archive(marker):
    """A zip file as torch's first format was, with a member that leads out of the folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("../owned", "")
        file.writestr("a.pth", plain(marker))
    return buffer.getvalue()


KINDS = [plain, torch_zip, torch_legacy, array, arrays, archive]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@kinds
@pytest.mark.parametrize("suffix", ["pth", "pt", "safetensors", "npy", "npz", "onnx", "pkl"])
def test_weights(kind, suffix, marker, tmp_path):
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(kind(marker))
    with pytest.raises(InputError, match=rf"weights\.{suffix} holds no plain tensors"):
        file_weights(path)


READERS = {
    "a checkpoint's header": read_checkpoint,
    "a checkpoint's network": load_network,
    "proposals": ProposalFile,
    "an index": read_index,
    "an ONNX model": OnnxDetector,
}


@kinds
@pytest.mark.parametrize("reader", READERS)
def test_files_of_other_stages(kind, reader, marker, tmp_path):
    path = tmp_path / "given.file"
    path.write_bytes(kind(marker))
    with pytest.raises(InputError, match=r"given\.file"):
        READERS[reader](path)


@kinds
def test_a_resume_point_starts_anew(kind, marker, tmp_path):
    point = ResumePoint(tmp_path / "resume.safetensors", "key")
    point.path.write_bytes(kind(marker))
    network = torch.nn.Linear(1, 1)
    assert point.load(network, torch.optim.SGD(network.parameters())) == Progress()


@kinds
def test_kept_features_are_forgotten(kind, marker, tmp_path):
    folder = FeatureFolder(tmp_path / "features", "key")
    folder.path.mkdir()
    for name in ("state.json", "features.bin"):
        (folder.path / name).write_bytes(kind(marker))
    assert folder.open() == 0
    assert list(folder.path.iterdir()) == []


@pytest.mark.parametrize(("schema", "reader"), [(INDEX, read_index), (PROPOSALS, ProposalFile)])
def test_arrows_extension_type_that_was_a_pickle(schema, reader, marker, tmp_path):
    """Before pyarrow 14.0.1 such a column was unpickled as soon as the file was opened."""
    extension = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Hostile(marker)),
    }
    fields = [field.with_metadata(extension) for field in schema]
    table = pa.table({f.name: pa.array([], f.type) for f in schema}, schema=pa.schema(fields))
    table = table.replace_schema_metadata({"classes": "[]", "layout": "coco", "digest": ""})
    with pa.OSFile(str(tmp_path / "a"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
        out.write_table(table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reader(tmp_path / "a")
        except InputError as error:
            assert str(tmp_path / "a") in str(error)  # noqa: PT017


@pytest.mark.parametrize("kind", [plain, torch_zip, torch_legacy])
def test_a_file_in_torchs_cache(kind, marker, tmp_path, monkeypatch):
    """torch checks the digest of what it downloads, and not of what the cache has already."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    url = weights.torchvision.models.get_model_weights("resnet18")["DEFAULT"].url
    (cache / Path(url).name).write_bytes(kind(marker))
    with pytest.raises(InputError, match=r"ResNet18.* no plain tensors"):
        torchvision_weights("resnet18")


def test_a_download_whose_digest_is_right(marker, tmp_path, monkeypatch):
    """Eight digits of the digest are in the name: little to search for a forger."""
    (tmp_path / "raw").write_bytes(torch_zip(marker))
    named = tmp_path / f"resnet18-{path_digest(tmp_path / 'raw')[:8]}.pth"
    (tmp_path / "raw").rename(named)
    default = weights.torchvision.models.get_model_weights("resnet18")["DEFAULT"]
    monkeypatch.setattr(default.value, "url", named.as_uri())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    with pytest.raises(InputError, match=r"ResNet18.* no plain tensors"):
        torchvision_weights("resnet18")


def test_a_stage_says_so_in_one_line(marker, tmp_path):
    (tmp_path / "w.pth").write_bytes(torch_zip(marker))
    row = {"image_id": 1, "file": "a.png", "split": "train", "width": 8, "height": 8, "sha256": ""}
    row |= {"boxes": [[0, 0, 4, 4]], "labels": [1], "crowd": [False]}
    write_index(tmp_path / "index", [row], ["a"], "coco")
    paths = {"data": tmp_path, "index": tmp_path / "index"}
    paths |= {name: tmp_path / "out" / name for name in ("backbone", "metrics")}
    words = [str(w) for name, path in paths.items() for w in (f"--{name}", path)]
    with pytest.raises(SystemExit, match=r"^init_backbone: .*w\.pth holds no plain"):
        main("init_backbone", [*words, "--name", "resnet18", "--weights", str(tmp_path / "w.pth")])
    assert list((tmp_path / "out").iterdir()) == []


def test_yaml_makes_no_objects(marker, tmp_path):
    from pipelines.document import read_documents
    from pipelines.yaml_file import read_yaml

    text = f"a: !!python/object/apply:builtins.open [{marker}, w]\n"
    (tmp_path / "a.yaml").write_text(text)
    yaml.unsafe_load(text)["a"].close()  # it does what it should where it is loaded
    marker.unlink()
    for read in (read_yaml, read_documents):
        with pytest.raises(InputError, match=r"a\.yaml"):
            read(tmp_path / "a.yaml")


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN = {"eval", "exec", "__import__"}
FORBIDDEN |= {f"{module}.{name}" for module in FORBIDDEN_MODULES for name in ("load", "loads")}
FORBIDDEN |= {f"yaml.{name}" for name in ("load", "unsafe_load", "full_load", "unsafe_load_all")}
FORBIDDEN |= {"os.system", "os.popen", "shutil.unpack_archive", "tarfile.open", "torch.hub.load"}
FORBIDDEN |= {"torch.jit.load", "torch.package.PackageImporter", "np.fromfile"}
SAFE = {"torch.load": ("weights_only", True), "get_state_dict": ("weights_only", True)}
SAFE |= {"load_state_dict_from_url": ("weights_only", True)}
UNSAFE = {"allow_pickle": True, "shell": True}
SAFE_LOADERS = ("Loader=loader)", ", StrictLoader)")
"""In pipelines/document.py and yaml_file.py: YAML's safe ones, as the test above shows."""


def unsafe_calls(source):
    """Line and text of each call that could run what a file holds."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module in FORBIDDEN_MODULES
            and {alias.name for alias in node.names} - {"UnpicklingError"}
        ):
            yield node.lineno, ast.unparse(node)
        if not isinstance(node, ast.Call):
            continue
        called, text = ast.unparse(node.func), ast.unparse(node)
        given = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
        bad = called in FORBIDDEN and not (called == "yaml.load" and text.endswith(SAFE_LOADERS))
        bad |= any(given.get(k) == v for k, v in UNSAFE.items())
        bad |= called == "yaml.load_all" and not text.endswith(SAFE_LOADERS)
        for name, (key, value) in SAFE.items():
            bad |= (called == name or called.endswith(f".{name}")) and given.get(key) is not value
        bad |= called == "np.load" and given.get("allow_pickle", False) is not False
        if bad:
            yield node.lineno, text


@pytest.mark.parametrize(
    "source",
    [
        "pickle.load(f)",
        "from pickle import loads",
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "w.get_state_dict(progress=True)",
        "np.load(p, allow_pickle=True)",
        "yaml.load(t, Loader=yaml.Loader)",
        "yaml.load_all(t, Loader=yaml.Loader)",
        "eval(t)",
        "subprocess.run(c, shell=True)",
        "shutil.unpack_archive(p)",
    ],
)
def test_the_check_below_finds(source):
    assert list(unsafe_calls(source))


def test_no_code_could_load_one():
    files = [file for folder in CODE for file in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    found = [
        (str(f.relative_to(ROOT)), *call) for f in files for call in unsafe_calls(f.read_text())
    ]
    assert found == []
