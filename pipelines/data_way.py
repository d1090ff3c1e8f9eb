"""What to know of the profile's way to the data before a run starts."""

from components.dataset.dvc_version import DataVersion
from pipelines.profile import Data

MANY_FILES, MANY_BYTES = 50_000, 10 * 10**9
"""From here on the data belong on a volume. Kubeflow's launcher asks for one file after the other:
at 10 ms each, 50,000 take 8 minutes, in every task that reads the data. The disk of a node that
they are copied to often has 100 GB for all pods and images."""


def notes(data: Data, version: DataVersion) -> list[str]:
    """Sentences for the person who compiles; none if there is nothing to know.

    Args:
        data: where the profile has the data from.
        version: their number of files and size, from data.dvc.
    """
    if data.volume or (data.uri or "").startswith("/"):  # mounted, here or there
        return []
    found = []
    if data.uri:
        found.append(
            f"data.uri: {data.uri}: Kubeflow has a key for the bucket of its own pipeline root. It "
            "opens any other with the identity of the pod's service account alone, and at no other "
            "endpoint than the cloud's: take data.dvc or data.volume for such a store."
        )
    if version.nfiles >= MANY_FILES or version.size >= MANY_BYTES:
        found.append(
            f"the data are {version.nfiles:,} files, {version.size / 1e9:.1f} GB. Kubeflow copies "
            "them one file after the other to the node's disk, in each task that reads them, and "
            f"asks for no room there. From {MANY_FILES:,} files or {MANY_BYTES // 10**9} GB on, "
            "put them on a volume (data.volume)."
        )
    return found
