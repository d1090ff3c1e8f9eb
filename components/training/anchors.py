"""Whether anchors can teach an RPN anything on a data set's images."""

import numpy as np

from components.dataset.index import Index
from components.dataset.resize_rule import resized_size
from components.errors import InputError
from models.parameters import AnchorParameters, InputParameters


def check_anchors(anchors: AnchorParameters, index: Index, rule: InputParameters) -> None:
    """Refuse anchors none of which lies inside any training image: none would teach the RPN.

    Raises:
        InputError: naming the anchors and the largest image, as the network sees it.
    """
    sizes = np.unique(index.sizes(index.rows("train")), axis=0)
    seen = [resized_size(int(h), int(w), level) for h, w in sizes for level in rule.levels]
    if not any(anchors.fit_inside(*size) for size in seen):
        height, width = max(seen, key=lambda size: size[0] * size[1])
        raise InputError(
            f"anchors: {anchors} are all larger than each training image, of which the "
            f"largest is {width} x {height} pixels after the resize rule; give smaller "
            "anchors.scales, or a larger init_backbone.input"
        )
