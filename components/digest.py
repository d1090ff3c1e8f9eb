"""Names for contents: SHA-256, in hexadecimal."""

import hashlib
import json
from pathlib import Path
from typing import Any


def path_digest(path: Path) -> str:
    """The SHA-256 of a file; of a folder, that of its sorted (SHA-256, relative path) list."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        listing = "".join(f"{path_digest(p)}  {p.relative_to(path).as_posix()}\n" for p in files)
        return hashlib.sha256(listing.encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def value_digest(value: Any) -> str:
    """The SHA-256 of a JSON-like value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
