"""Proposals of selective search (Uijlings et al., 2013), those that Fast R-CNN was trained on.

    python -m examples.selective_search --data data --index build/validate_data/index.arrow \
        --split train --proposals build/selective_search/train.arrow

It needs OpenCV's extra modules: pip install opencv-contrib-python-headless
"""

import argparse
import ctypes
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch

from components.dataset.images import read_image, resize_image
from components.dataset.index import Image, read_index
from components.dataset.proposal_file import ImageProposals, ProposalFile, write_proposals
from components.progress import progress
from components.scoring.recall import recall_metrics, recall_of
from models.parameters import InputParameters

VOC_SIZE = InputParameters(short_side=375, long_side=500)
"""To which images are resized first: most of VOC's photos are 500 x 375."""
MOST = 2000
"""About as many as Fast R-CNN had (Fast R-CNN, 4.1)."""


def selective_search(pixels: np.ndarray, seed: int) -> np.ndarray:
    """Boxes (N, 4) float32 of an image (H, W, 3) uint8, blue first; large regions come first.

    The order is partly random. OpenCV takes that from C's `rand`, hence the seed.
    """
    ctypes.CDLL(None).srand(seed)
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(pixels)
    search.switchToSelectiveSearchFast()
    boxes = np.asarray(search.process(), np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]  # from x y w h
    return boxes


def propose(data: Path, image: Image) -> ImageProposals:
    """The proposals of an image, in its own pixels."""
    pixels = resize_image(read_image(data / image.file), VOC_SIZE)
    boxes = selective_search(pixels.permute(1, 2, 0).numpy()[..., ::-1].copy(), image.image_id)
    height, width = pixels.shape[1:]
    scale = np.array([image.width / width, image.height / height] * 2, np.float32)
    boxes = boxes[:MOST] * scale
    ranks = np.arange(1, len(boxes) + 1, dtype=np.float32)
    return ImageProposals(image.image_id, boxes, 1 / ranks)


def propose_all(data: Path, images: Sequence[Image], processes: int) -> Iterator[ImageProposals]:
    """The proposals of images, several of them at once."""
    with ProcessPoolExecutor(processes, get_context("spawn"), one_thread) as pool:
        found = pool.map(partial(propose, data), images, chunksize=4)
        yield from progress(found, len(images), "selective search")


def one_thread() -> None:
    """Leave the other cores to the other processes."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def main(flags: Sequence[str] | None = None) -> None:
    """Write the proposals of a split and say how many objects they cover."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--index", type=Path, required=True, help="of validate_data")
    parser.add_argument("--split", choices=("train", "test"), default="train")
    parser.add_argument("--proposals", type=Path, required=True, help="the file to write")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args(flags)
    index = read_index(given.index)
    images = [index.image(row) for row in index.rows(given.split)]
    given.proposals.parent.mkdir(parents=True, exist_ok=True)
    aside = given.proposals.with_suffix(".part")
    found = propose_all(given.data, images, given.processes)
    write_proposals(aside, found, checkpoint="", data=index.digest)
    aside.rename(given.proposals)
    written = ProposalFile(given.proposals)
    print(f"{written.proposals / len(images):.0f} proposals an image; recall by their number n:")
    for name, value in recall_metrics(recall_of(written, index, given.split)).items():
        print(f"{name} {value:.3f}")


if __name__ == "__main__":
    main()
