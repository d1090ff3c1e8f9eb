import numpy as np
import pyarrow as pa
import pytest

from components.dataset import proposal_file
from components.dataset.index import write_index
from components.dataset.proposal_file import (
    SCHEMA,
    ImageProposals,
    ProposalFile,
    write_proposals,
)
from components.errors import InputError


def proposals(image_id, count):
    random = np.random.default_rng(image_id)
    boxes, scores = random.random((count, 4)), random.random(count)
    boxes[:, 2:] += 1
    return ImageProposals(image_id, boxes.astype(np.float32), scores.astype(np.float32))


def test_read_by_image_id_over_several_record_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(proposal_file, "IMAGES_PER_RECORD_BATCH", 2)
    written = [proposals(7, 3), proposals(3, 0), proposals(12, 5)]
    write_proposals(tmp_path / "p", written, checkpoint="c1", data="d1")
    read = ProposalFile(tmp_path / "p")
    assert len(read) == 3
    for image in written:
        found = read.image(image.image_id)
        assert np.array_equal(found.boxes, image.boxes)
        assert np.array_equal(found.scores, image.scores)
    assert (read.checkpoint, read.data) == ("c1", "d1")


@pytest.fixture
def index(tmp_path):
    """Images 1 and 2 to train on, 3 to test, of 20 x 10 pixels."""
    rows = [
        {"image_id": n, "file": f"{n}.png", "split": split, "sha256": "", "width": 20, "height": 10}
        | {"boxes": [], "labels": [], "crowd": []}
        for n, split in enumerate(("train", "train", "test"), start=1)
    ]
    return write_index(tmp_path / "index", rows, ["cell"], "coco")


def written(folder, *images, checkpoint="", data=""):
    write_proposals(folder / "p", images, checkpoint=checkpoint, data=data)
    return ProposalFile(folder / "p")


def test_a_mismatch_names_both_digests(tmp_path, index):
    read = written(tmp_path, proposals(1, 2), proposals(2, 0), checkpoint="c1", data=index.digest)
    read.check(index, "train", "c1")
    read.check(index, "train")
    with pytest.raises(InputError, match="checkpoint c1, but this is checkpoint c2"):
        read.check(index, "train", "c2")
    other = written(tmp_path, proposals(1, 2), proposals(2, 0), data="d1")
    with pytest.raises(InputError, match="data set d1, but this is data set"):
        other.check(index, "train")


def test_foreign_proposals_need_no_digests(tmp_path, index):
    written(tmp_path, proposals(1, 2), proposals(2, 3)).check(index, "train", "c2")


def test_every_image_of_the_split_needs_a_row(tmp_path, index):
    read = written(tmp_path, proposals(1, 2), checkpoint="c1", data=index.digest)
    says = "no proposals for 1 of the 2 images of split 'train', such as image 2"
    with pytest.raises(InputError, match=says):
        read.check(index, "train")
    with pytest.raises(InputError, match="1 of the 1 images of split 'test', such as image 3"):
        read.check(index, "test")


@pytest.mark.parametrize(
    "box",
    [
        (5, 5, 5, 8),
        (5, 5, 4, 8),
        (5, 8, 8, 5),
        (-2, 0, 5, 5),
        (0, 0, 20, 11.5),
        (0, 0, 22, 5),
        (0, 0, np.nan, 5),
        (0, 0, np.inf, 5),
    ],
)
def test_foreign_boxes_that_are_none_are_named(tmp_path, index, box):
    boxes = np.float32([[0, 0, 20, 10], box])
    foreign = ImageProposals(2, boxes, np.float32([1, 1]))
    with pytest.raises(InputError, match=r"box \[.*\] of image 2 \(2\.png\) is not x1 y1 x2 y2"):
        written(tmp_path, proposals(1, 2), foreign).check(index, "train")


def test_foreign_boxes_without_scores_are_named(tmp_path, index):
    columns = {"image_id": [1, 2], "boxes": [[[0, 0, 5, 5]], []], "scores": [[], []]}
    table = pa.table(columns, schema=SCHEMA)
    with pa.OSFile(str(tmp_path / "p"), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_table(table)
    with pytest.raises(InputError, match="has 1 boxes and 0 scores"):
        ProposalFile(tmp_path / "p").check(index, "train")


def test_an_image_without_proposals_is_named(tmp_path):
    write_proposals(tmp_path / "p", [proposals(1, 2)], checkpoint="", data="")
    with pytest.raises(InputError, match="no proposals for image 2"):
        ProposalFile(tmp_path / "p").image(2)


def test_what_is_no_proposals_file_is_named(tmp_path):
    (tmp_path / "p").write_bytes(b"\x80\x04pickle")
    with pytest.raises(InputError, match="not a proposals file"):
        ProposalFile(tmp_path / "p")
