"""Profiles: how the pipeline lies on a cluster, as YAML outside the code, checked strictly.

Several files are laid over one another, so that a team keeps one file for its cluster and small
ones for the data sets. docs/kubeflow.md has every key; profiles/ has examples.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from components.errors import InputError
from pipelines.sections import TASKS
from pipelines.yaml_file import read_yaml

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]
"""Name of an object in Kubernetes."""
Quantity = Annotated[str, Field(pattern=r"^[1-9][0-9]*(Mi|Gi|Ti)$")]
"""Bytes as Kubernetes writes them: 8Gi."""
Folder = Annotated[str, Field(pattern=r"^\w[\w-]*([./]\w[\w-]*)*$")]
"""Folder of a volume, without ``..``."""
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""Name of an environment variable."""
Duration = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,6}s$")]
"""Seconds as Kubeflow writes them: 60s."""


def known_task(name: str) -> str:
    """The name, if a task has it."""
    if name not in TASKS:
        raise ValueError(f"no such task; known are {', '.join(TASKS)}")
    return name


def no_secret(url: str) -> str:
    """The address, if it has neither a user nor a query, in which passwords and tokens stand."""
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be without user, password and query: credentials come from a Secret")
    return url


Seconds = Annotated[int, Field(gt=0, le=366 * 24 * 3600)]
Web = Annotated[str, Field(pattern=r"^https?://[^\s/]+"), AfterValidator(no_secret)]
Store = Annotated[str, Field(pattern=r"^((s3|gs|minio)://[^\s/]+|/)"), AfterValidator(no_secret)]
DVCRemote = Annotated[
    str, Field(pattern=r"^((s3|gs|azure|https?|ssh)://[^\s/]+|/)"), AfterValidator(no_secret)
]
TaskName = Annotated[str, AfterValidator(known_task)]


class Part(BaseModel):
    """A part of a profile: no other keys, no guessed types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Toleration(Part):
    """A taint that a task's pod puts up with."""

    key: str
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str = ""
    effect: Literal["NoSchedule", "NoExecute", "PreferNoSchedule"] = "NoSchedule"


class Secret(Part):
    """A Secret whose keys become environment variables; no value is ever written here."""

    name: Name
    keys: Annotated[dict[str, Variable], Field(min_length=1)]
    """Key in the Secret: environment variable."""


class Volume(Part):
    """A persistent volume claim."""

    claim: Name
    folder: Folder | None = None
    """Subfolder of the volume."""


class Remote(Part):
    """A DVC remote, from which the task fetch_data pulls the version that data.dvc names."""

    remote: DVCRemote
    endpoint_url: Web | None = None
    """Address of an S3-compatible store."""
    secret: Secret | None = None


class Data(Part):
    """Where the data set comes from: exactly one of the three."""

    volume: Volume | None = None
    uri: Store | None = None
    """Folder in an object store (s3://, gs://, minio://), or of this machine for run-local."""
    dvc: Remote | None = None

    @model_validator(mode="after")
    def exactly_one(self) -> "Data":
        """Refuse none, and more than one."""
        if sum(way is not None for way in (self.volume, self.uri, self.dvc)) != 1:
            raise ValueError("give exactly one of volume, uri and dvc")
        return self


class GPU(Part):
    """What a stage with a GPU asks for; count 0 is a cluster without GPUs.

    More than one is for the stages that several processes can run; the others ask for one.
    """

    type: str = "nvidia.com/gpu"
    count: Annotated[int, Field(ge=0, le=64)] = 1
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = (Toleration(key="nvidia.com/gpu"),)
    shm: Quantity = "8Gi"
    """Size of /dev/shm, through which the data loaders hand over batches."""
    timeout_s: Seconds = 7 * 24 * 3600


class CPU(Part):
    """What the other stages ask for."""

    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    timeout_s: Seconds = 24 * 3600


class Retries(Part):
    """How often, and after how long, Kubeflow starts a failed task again."""

    count: Annotated[int, Field(ge=0, le=100)] = 3
    backoff: Duration = "60s"
    factor: Annotated[float, Field(ge=1, le=100)] = 2.0
    most: Duration = "3600s"


class Security(Part):
    """Whom the containers run as. (Kubeflow itself drops all capabilities.)"""

    user: Annotated[int, Field(gt=0)] = 1000
    group: Annotated[int, Field(gt=0)] = 1000


class MLflow(Part):
    """The tracking server; without an address, what Kubeflow's own MLflow plugin sets counts."""

    uri: Web | None = None
    """Address, without user and password: those come from the secret."""
    experiment: str = "fourstep"
    secret: Secret | None = None


class Request(Part):
    """A task's own request, in place of what its stage declares."""

    cpu: Annotated[int, Field(gt=0)] | None = None
    memory_gib: Annotated[int, Field(gt=0)] | None = None
    timeout_s: Seconds | None = None


class Profile(Part):
    """A cluster."""

    data: Data
    scratch: Volume | None = None
    """Volume that several nodes can write to: a training that is started again goes on there."""
    gpu: GPU = GPU()
    cpu: CPU = CPU()
    retries: Retries = Retries()
    security: Security = Security()
    mlflow: MLflow = MLflow()
    service_account: Name | None = None
    image_pull_secrets: tuple[Name, ...] = ()
    kubeflow_ui: Web | None = None
    """Address of Kubeflow's pages, for the links in MLflow."""
    tasks: dict[TaskName, Request] = {}
    """Requests by the task's name, that of its stage in dvc.yaml."""


def read_profile(files: Sequence[Path]) -> Profile:
    """The profile that the files make, later ones over earlier ones.

    Raises:
        InputError: a file cannot be read; a key is unknown or its value impossible. Names all
            such keys.
    """
    merged: dict[str, Any] = {}
    for file in files:
        merged = overlay(merged, read_yaml(file))
    try:
        return Profile.model_validate_json(json.dumps(merged))
    except ValidationError as error:
        named = " + ".join(map(str, files)) or "no profile given (--profile)"
        raise InputError(f"{named}: " + "; ".join(map(explain, error.errors()))) from None


def overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two mappings as one: groups are merged, anything else is replaced.

    The ways to the data exclude each other, so a new ``data`` replaces the old one.
    """
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping) and key != "data"
        merged[key] = overlay(old, value) if both else value  # type: ignore[arg-type]
    return merged


def explain(error: Any) -> str:
    """One of pydantic's errors: the key, what is wrong, the value."""
    key = ".".join(str(part) for part in error["loc"] if part != "[key]") or "profile"
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    if error["type"] == "missing":
        return f"{key}: is missing"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error" or "@" in str(error["input"]):  # it may be a password
        return f"{key}: {message}"
    return f"{key}: {message}, not {error['input']!r}"
