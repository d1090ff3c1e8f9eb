"""Upload a compiled pipeline to Kubeflow Pipelines, start a run of it, and follow it.

kfp_server_api is used directly. ``kfp.Client`` reads ~/.config/kfp/context.json and the kube
config, logs in by itself and waits half a minute for a server that is not there.
"""

from pipelines.submit.connection import Connection, resume_command
from pipelines.submit.errors import ServerError
from pipelines.submit.experiment import find_experiment
from pipelines.submit.package import Package, check_parameters, read_package
from pipelines.submit.run import create_run
from pipelines.submit.server import Server
from pipelines.submit.upload import Uploaded, upload
from pipelines.submit.watch import NOT_WATCHED, watch_run

__all__ = [
    "Connection",
    "NOT_WATCHED",
    "Package",
    "Server",
    "ServerError",
    "Uploaded",
    "check_parameters",
    "create_run",
    "find_experiment",
    "read_package",
    "resume_command",
    "upload",
    "watch_run",
]
