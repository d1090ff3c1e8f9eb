"""Writing a page: one HTML file that needs nothing beside itself and holds no time and no path."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

SHARED = Path(__file__).parent


def write_page(path: Path, template: Path, content: Mapping[str, Any]) -> None:
    """Fill a template, which may extend ``page.html.jinja``; all that it is given is escaped."""
    environment = Environment(
        loader=FileSystemLoader([template.parent, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template.name).render(content)
    path.write_text(page + "\n", encoding="utf-8")
