import numpy as np
import pytest

from components.dataset import proposal_file
from components.dataset.proposal_file import ImageProposals, ProposalFile, write_proposals
from components.errors import InputError


def proposals(image_id, count):
    random = np.random.default_rng(image_id)
    boxes, scores = random.random((count, 4)), random.random(count)
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


def test_a_mismatch_names_both_digests(tmp_path):
    write_proposals(tmp_path / "p", [proposals(1, 2)], checkpoint="c1", data="d1")
    read = ProposalFile(tmp_path / "p")
    read.check("d1", "c1")
    read.check("d1")
    with pytest.raises(InputError, match="data set d1, but this is data set d2"):
        read.check("d2")
    with pytest.raises(InputError, match="checkpoint c1, but this is checkpoint c2"):
        read.check("d1", "c2")


def test_foreign_proposals_need_no_digests(tmp_path):
    write_proposals(tmp_path / "p", [proposals(1, 2)], checkpoint="", data="")
    ProposalFile(tmp_path / "p").check("d2", "c2")


def test_an_image_without_proposals_is_named(tmp_path):
    write_proposals(tmp_path / "p", [proposals(1, 2)], checkpoint="", data="")
    with pytest.raises(InputError, match="no proposals for image 2"):
        ProposalFile(tmp_path / "p").image(2)


def test_what_is_no_proposals_file_is_named(tmp_path):
    (tmp_path / "p").write_bytes(b"\x80\x04pickle")
    with pytest.raises(InputError, match="not a proposals file"):
        ProposalFile(tmp_path / "p")
