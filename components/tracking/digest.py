"""Names for contents: the SHA-256 of a file or folder."""

import hashlib
from pathlib import Path


def digest(path: Path) -> str:
    """The SHA-256 of a file; of a folder, that of its sorted (relative path, SHA-256) list."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        listing = "".join(f"{digest(p)}  {p.relative_to(path).as_posix()}\n" for p in files)
        return hashlib.sha256(listing.encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
