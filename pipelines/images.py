"""The container images: which there are, how they are built, and what compile may refer to.

`build` records each image in a JSON file, which `references` reads. An image that was pushed is
referred to by its digest; one that was not by a tag made of its id, which only the engine that
built it knows.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from components.contract import Image
from components.errors import InputError
from components.git import git

ROLES: tuple[str, ...] = get_args(Image)
TARGETS = (*ROLES, "workbench")
"""What the Dockerfile builds: the roles, and everything in one for work in a container."""
BASE = "python:3.11.14-slim-bookworm"
"""Default base image: Debian with Python, by its full version."""

DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
LOCAL_TAG = re.compile(r"[^@]+:sha-[0-9a-f]{12,64}")


def read_record(file: Path) -> dict[str, Any]:
    """What `build` has recorded, or someone by hand: ``{"images": {ROLE: {"reference": ...}}}``.

    Raises:
        InputError: the file cannot be read, or a role is missing.
    """
    try:
        record: dict[str, Any] = json.loads(file.read_text())
        missing = [
            role for role in ROLES if not isinstance(record["images"][role]["reference"], str)
        ]
    except OSError:
        raise InputError(f"{file}: no such file. Run `make images` first.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: has not the images of {', '.join(ROLES)} ({error})") from None
    if missing:
        raise InputError(f"{file}: has no reference of {', '.join(missing)}")
    return record


def references(record: Path, *, local_tags: bool = False) -> dict[str, str]:
    """The image of each role, as a container engine takes it.

    Args:
        record: file that `build` has written.
        local_tags: allow tags made of an image's id beside digests.

    Raises:
        InputError: as `read_record`; or a reference can change its meaning, which would give stale
            cache hits. Names the role and the reference.
    """
    images = read_record(record)["images"]
    found = {role: images[role]["reference"] for role in ROLES}
    for role, reference in found.items():
        if DIGEST.fullmatch(reference) or (local_tags and LOCAL_TAG.fullmatch(reference)):
            continue
        if LOCAL_TAG.fullmatch(reference):
            remedy = "only the engine that built it knows it: push it (`fourstep images --push`)"
            raise InputError(f"{record}: {role}: {reference}: {remedy}, or allow --local-tags")
        raise InputError(
            f"{record}: {role}: {reference}: a tag can be moved to another image, and the cache "
            "would not notice; refer to it by digest (NAME@sha256:...)"
        )
    return found


def build(
    context: Path,
    record: Path,
    *,
    roles: Sequence[str] = TARGETS,
    base: str = BASE,
    push: str | None = None,
    docker: str = "docker",
    options: Sequence[str] = (),
) -> dict[str, Any]:
    """Build the images of the Dockerfile in ``context`` and record them.

    Args:
        context: folder of the Dockerfile.
        record: JSON file to write.
        roles: targets to build.
        base: image that all are built on.
        push: repository prefix to push to, such as ``registry.example.com/team``.
        docker: the engine's command.
        options: further options of ``docker build``.

    Raises:
        InputError: the engine cannot be run, or a step of it fails.
    """
    facts = pull_base(docker, base)
    exact = next(iter(facts["digests"]), base)
    images = {}
    for role in roles:
        began = time.monotonic()
        name = f"{push or 'local'}/fourstep-{role}"
        command = ["build", "--target", role, "--build-arg", f"BASE_IMAGE={exact}", "--tag", name]
        engine(docker, *command, *options, str(context))
        images[role] = publish(docker, name, push=push is not None)
        images[role]["seconds"] = round(time.monotonic() - began, 1)
    found = {"base": facts, "commit": commit(context), "images": images}
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(found, indent=1) + "\n")
    return found


def commit(context: Path) -> str:
    """The commit of the code, with ``-dirty`` if files differ from it; empty without git."""
    return git("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*", folder=context)


def publish(docker: str, name: str, *, push: bool) -> dict[str, Any]:
    """Tag an image by its id, and push it if asked to; its reference, id and size in bytes."""
    facts = inspect(docker, name)
    tag = f"{name}:sha-{facts['Id'].removeprefix('sha256:')[:12]}"
    engine(docker, "tag", name, tag)
    reference = tag
    if push:
        engine(docker, "push", tag)
        digests = inspect(docker, tag)["RepoDigests"]
        reference = next(d for d in digests if d.startswith(f"{name}@"))
    return {"reference": reference, "id": facts["Id"], "size": facts["Size"]}


def pull_base(docker: str, base: str) -> dict[str, Any]:
    """The base image's name, id and digests, after pulling it if it is not here."""
    try:
        facts = inspect(docker, base)
    except InputError:
        engine(docker, "pull", base)
        facts = inspect(docker, base)
    return {"name": base, "id": facts["Id"], "digests": facts["RepoDigests"]}


def inspect(docker: str, name: str) -> Mapping[str, Any]:
    """What the engine knows of an image."""
    facts: Mapping[str, Any] = json.loads(engine(docker, "image", "inspect", name, quiet=True))[0]
    return facts


def engine(docker: str, *arguments: str, quiet: bool = False) -> str:
    """Run the container engine; its output if ``quiet``, else it goes to the terminal.

    Raises:
        InputError: it is not installed, not running, or fails.
    """
    command = [docker, *arguments]
    pipe = subprocess.PIPE if quiet else None
    try:
        environment = os.environ | {"DOCKER_BUILDKIT": "1"}
        done = subprocess.run(
            command, stdout=pipe, stderr=pipe, text=True, check=False, env=environment
        )
    except OSError as error:
        raise InputError(f"{docker}: cannot be run ({error.strerror}); install Docker") from None
    if done.returncode:
        detail = f": {done.stderr.strip()}" if quiet else ""
        raise InputError(f"`{' '.join(command[:3])} ...` failed with {done.returncode}{detail}")
    return done.stdout or ""
