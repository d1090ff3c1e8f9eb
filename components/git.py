"""Asking git."""

import subprocess
from pathlib import Path


def git(*arguments: str, folder: Path | None = None) -> str:
    """The output of a git command in a folder (default: here); empty if it fails or without git."""
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
