"""Notes on the way to the data: who opens a store, and which data are too many to copy."""

import pytest

from components.dataset.dvc_version import DataVersion
from pipelines.data_way import notes
from pipelines.profile import Data, Remote, Volume

COCO = DataVersion("0" * 32 + ".dir", nfiles=123_293, size=19_300_000_000)
VOC = DataVersion("0" * 32 + ".dir", nfiles=20_000, size=900_000_000)
WAYS = {
    "volume": Data(volume=Volume(claim="datasets")),
    "uri": Data(uri="s3://bucket/voc"),
    "dvc": Data(dvc=Remote(remote="s3://bucket/dvc")),
    "run-local": Data.model_construct(uri="/home/me/data"),
}


@pytest.mark.parametrize(
    ("way", "version", "words"),
    [
        ("volume", COCO, []),
        ("run-local", COCO, []),
        ("dvc", VOC, []),
        ("dvc", COCO, ["123,293 files, 19.3 GB"]),
        ("uri", VOC, ["s3://bucket/voc: Kubeflow has a key for the bucket of its own"]),
        ("uri", COCO, ["identity of the pod's service account alone", "on a volume (data.volume)"]),
    ],
)
def test_what_there_is_to_know_is_said(way, version, words):
    found = notes(WAYS[way], version)
    assert len(found) == len(words)
    for note, word in zip(found, words, strict=True):
        assert word in note
