"""Upload a compiled pipeline to Kubeflow Pipelines, start a run of it, and follow it.

kfp_server_api is used directly. ``kfp.Client`` reads ~/.config/kfp/context.json and the kube
config, logs in by itself and waits half a minute for a server that is not there.
"""

from pipelines.submit.connection import Connection, resume_command
from pipelines.submit.experiment import find_experiment
from pipelines.submit.login import shown_login
from pipelines.submit.package import check_parameters, read_package
from pipelines.submit.run import create_run
from pipelines.submit.server import Server
from pipelines.submit.upload import upload
from pipelines.submit.version import check_version
from pipelines.submit.watch import CANCELED_STATUS, FAILED_STATUS, Outcome, watch_run

__all__ = [
    "CANCELED_STATUS",
    "FAILED_STATUS",
    "Connection",
    "Outcome",
    "Server",
    "check_parameters",
    "check_version",
    "create_run",
    "find_experiment",
    "read_package",
    "resume_command",
    "shown_login",
    "upload",
    "watch_run",
]
