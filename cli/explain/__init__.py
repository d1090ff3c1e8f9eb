"""`fourstep explain`: one image on its way through the four steps, in pictures and figures.

All that is shown comes from the functions that train and detect; none is written a second time.
"""

from pathlib import Path

NETWORK = Path("build/finetune_detector/network.safetensors")
RPN = Path("build/train_rpn/rpn.safetensors")
INDEX = Path("build/validate_data/index.arrow")
"""Where `dvc repro` writes step 4's network, step 1's RPN and the index."""
