"""Rule `mutable-image`: images are named by digest."""

import re
from collections import defaultdict
from collections.abc import Iterator

from pipelines.lint.finding import Finding
from pipelines.lint.pipeline import PLACEHOLDER, Pipeline

DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
LOCAL_TAG = re.compile(r"[^@\s]+:sha-[0-9a-f]{12,}")
BUILT_IN = {"argostub/createpvc", "argostub/deletepvc"}
"""Not images: Kubeflow's backend does these tasks itself."""


def mutable_images(pipeline: Pipeline, local_tags: bool) -> Iterator[Finding]:
    """Images that may change under a name, one finding an image."""
    labels: dict[str, list[str]] = defaultdict(list)
    for label, executor in pipeline.executors.items():
        if executor.WhichOneof("spec") == "container":
            labels[executor.container.image].append(label)
    for image, users in labels.items():
        more = f" and {len(users) - 1} more" if len(users) > 1 else ""
        where = f"deploymentSpec.executors.{users[0]}{more}"
        if image in BUILT_IN or DIGEST.fullmatch(image):
            continue
        if local_tags and LOCAL_TAG.fullmatch(image):
            continue
        if PLACEHOLDER.search(image):
            message = "the image is set when the run starts, so nothing here can vouch for it; "
            message += "name it by digest (NAME@sha256:...) in the pipeline"
            yield Finding("warning", "mutable-image", where, message)
        else:
            yield Finding("error", "mutable-image", where, _message(image, local_tags))


def _message(image: str, local_tags: bool) -> str:
    if not image:
        return "has no image; name one by digest (NAME@sha256:...)"
    name, _, tag = image.rpartition(":")
    if "@" in image:
        what = "its digest is not sha256 and 64 hexadecimal digits"
    elif not name or "/" in tag:
        what = "it has no tag, so it means `latest`"
    else:
        what = f"the tag '{tag}' can be moved to another image"
    local = " or a tag sha-<12 or more hexadecimal digits>" if local_tags else ""
    return (
        f"image {image}: {what}, and Kubeflow's cache would not notice; "
        f"name it by digest (NAME@sha256:...){local}"
    )
