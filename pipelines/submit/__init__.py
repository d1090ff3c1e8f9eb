"""Upload a compiled pipeline to Kubeflow Pipelines, start a run of it, and follow it.

kfp_server_api is used directly. ``kfp.Client`` reads ~/.config/kfp/context.json and the kube
config, logs in by itself and waits half a minute for a server that is not there.
"""

from pipelines.submit.connection import Connection, resume_command
from pipelines.submit.experiment import find_experiment
from pipelines.submit.package import check_parameters, read_package
from pipelines.submit.run import create_run
from pipelines.submit.server import Server
from pipelines.submit.token import shows_token
from pipelines.submit.upload import upload
from pipelines.submit.watch import watch_run

__all__ = [
    "Connection",
    "Server",
    "check_parameters",
    "create_run",
    "find_experiment",
    "read_package",
    "resume_command",
    "shows_token",
    "upload",
    "watch_run",
]
