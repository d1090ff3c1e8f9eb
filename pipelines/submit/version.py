"""Whether the server is new enough for our pipelines."""

import re

from components.errors import InputError
from pipelines.submit.server import Server

OLDEST = (2, 16)
"""The first backend that knows ``securityContext`` of a task and ``subPath`` of a volume. Older
ones take the upload, and refuse every run of it."""

TOO_OLD = f"the backend must be Kubeflow Pipelines {OLDEST[0]}.{OLDEST[1]} or newer: upgrade it"


def check_version(server: Server) -> None:
    """Refuse a server that says it is too old.

    Some images do not say it: "unknown" if they were built without (2.5 to 2.15), "master" if they
    are a build in between. They are given the benefit of the doubt.

    Raises:
        InputError: the server is older than OLDEST.
    """
    found = re.match(r"v?(\d+)\.(\d+)(?!\d)", server.version)
    if found and (int(found[1]), int(found[2])) < OLDEST:
        raise InputError(
            f"{server.host}: is Kubeflow Pipelines {server.clean(server.version)}, which does not "
            f"know securityContext and subPath, and would refuse every run; {TOO_OLD}"
        )
