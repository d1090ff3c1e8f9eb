"""The page: one HTML file with all pictures in it."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from cli.explain.explanation import BEST, Explanation
from cli.explain.figures import figures
from cli.explain.scene import CONFIDENT
from cli.explain.steps import SCHEDULES
from components.pages.page import write_page

JPEG_QUALITY = 76


def write_explanation(
    path: Path, explanation: Explanation, pictures: Mapping[str, Image.Image]
) -> None:
    """Write the page."""
    write_page(path, Path(__file__).with_name("explain.html.jinja"), content(explanation, pictures))


def content(explanation: Explanation, pictures: Mapping[str, Image.Image]) -> dict[str, Any]:
    """The template's variables."""
    return {
        "architecture": explanation.architecture,
        "settings": explanation.settings,
        "figures": figures(explanation),
        "first": explanation.first is not None,
        "pictures": {name: inline(picture) for name, picture in pictures.items()},
        "four_step": explanation.four_step,
        "titles": SCHEDULES[explanation.settings.schedule],
        "confident": CONFIDENT,
        "best": BEST,
    }


def jpeg(picture: Image.Image) -> bytes:
    """A picture as it is written and inlined: JPEG, with lines and letters left sharp."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0, optimize=True)
    return buffer.getvalue()


def inline(picture: Image.Image) -> str:
    """A picture as a ``data:`` address."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(picture)).decode()
