"""The experiment that a run is put in."""

from typing import Any

import kfp_server_api

from components.errors import InputError
from pipelines.submit.create import create_once
from pipelines.submit.server import Server
from pipelines.suggest import suggest

DEFAULT = "Default"


def find_experiment(server: Server, name: str | None) -> Any:
    """The experiment of a name; without one, "Default", which is made if it is missing.

    Raises:
        InputError: there is none of that name, or it is archived.
    """
    found = _look(server, name or DEFAULT)
    if found is None and name is None:
        found = _create_default(server)
    if found is None:
        raise InputError(_unknown(server, str(name)))
    if found.storage_state == "ARCHIVED":
        raise InputError(
            f"{server.host}: the experiment '{found.display_name}' is archived; restore it in the "
            "UI or choose another with --experiment"
        )
    return found


def _look(server: Server, name: str) -> Any | None:
    return server.find(
        server.experiments.experiment_service_list_experiments,
        "experiments",
        name,
        **server.in_namespace,
    )


def _create_default(server: Server) -> Any:
    wanted = kfp_server_api.V2beta1Experiment(display_name=DEFAULT, **server.in_namespace)
    return create_once(
        server,
        f"the experiment '{DEFAULT}'",
        lambda: server.call(server.experiments.experiment_service_create_experiment, wanted),
        lambda: _look(server, DEFAULT),
    )


def _unknown(server: Server, name: str) -> str:
    listed = server.pages(
        server.experiments.experiment_service_list_experiments, "experiments", **server.in_namespace
    )
    names = sorted(e.display_name for e in listed if e.storage_state != "ARCHIVED")
    where = f" in the namespace '{server.namespace}'" if server.namespace else ""
    text = f"{server.host}: there is no experiment '{name}'{where}"
    return text + (suggest(name, names) if names else ", and no other; make it in the UI")
