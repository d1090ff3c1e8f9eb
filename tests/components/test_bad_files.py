"""Files that are not what a stage asks for are refused by name."""

import numpy as np
import pytest

from components.dataset.index import read_index
from components.dataset.proposal_file import ImageProposals, ProposalFile, write_proposals
from components.errors import InputError
from components.networks.checkpoint import read_checkpoint

READERS = {"index": read_index, "proposals": ProposalFile, "checkpoint": read_checkpoint}


@pytest.mark.parametrize("content", [b"", b"ARROW1\0\0", b"\x08" + b"\0" * 20, b"{}", b"a" * 999])
@pytest.mark.parametrize("kind", READERS)
def test_a_file_of_something_else_is_refused(tmp_path, kind, content):
    (tmp_path / kind).write_bytes(content)
    with pytest.raises(InputError, match=rf"{kind}: not a"):
        READERS[kind](tmp_path / kind)


@pytest.mark.parametrize("left", [0.1, 0.5, 0.99])
def test_truncated_proposals_are_refused(tmp_path, left):
    found = [ImageProposals(n, np.ones((9, 4), np.float32), np.ones(9)) for n in range(9)]
    path = tmp_path / "proposals"
    write_proposals(path, found, checkpoint="a" * 64, data="b" * 64)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * left)])
    with pytest.raises(InputError, match="proposals: not a proposals file"):
        ProposalFile(path)
