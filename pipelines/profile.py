"""Profiles: how the pipeline lies on a cluster, as YAML outside the code, checked strictly.

Several files are laid over one another, so that a team keeps one file for its cluster and small
ones for the data sets. docs/kubeflow.md has every key; profiles/ has examples.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from components.errors import InputError
from pipelines import addresses
from pipelines import kubernetes_rules as rules
from pipelines.sections import TASKS
from pipelines.yaml_file import read_yaml

REMOVED = {
    "retries.most": "is not a key any more: Argo takes it for the time from the first attempt's "
    "start, after which it tries nothing again; remove it, compile works that time out"
}
"""Keys of older profiles, and what to do about them."""


def known_task(name: str) -> str:
    """The name, if a task has it."""
    if name not in TASKS:
        raise ValueError(f"no such task; known are {', '.join(TASKS)}")
    return name


def whole(value: Any) -> Any:
    """2 for 2.0, as YAML's writers have it.

    Raises:
        ValueError: there is a fraction.
    """
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{value} is not a whole number, and Argo takes no other; give 1, 2, ...")
    return int(value) if isinstance(value, float) else value


def experiment(name: str) -> str:
    """The name, if MLflow takes it, and Argo hands it on as it is.

    Raises:
        ValueError: one of them does not.
    """
    if not name.strip() or len(name) > 500 or "{{" in name:
        raise ValueError(f"{name!r} is not a name for an experiment; give 1 to 500 letters")
    return name


ObjectName = Annotated[str, AfterValidator(rules.object_name)]
Claim = Annotated[str, AfterValidator(rules.claim_name)]
Variable = Annotated[str, AfterValidator(rules.variable)]
SecretKey = Annotated[str, AfterValidator(rules.secret_key)]
LabelKey = Annotated[str, AfterValidator(rules.label_key)]
LabelValue = Annotated[str, AfterValidator(rules.label_value)]
DeviceResource = Annotated[str, AfterValidator(rules.resource_name)]
Folder = Annotated[str, AfterValidator(rules.sub_path)]
Size = Annotated[str, AfterValidator(rules.size)]
Web = Annotated[str, AfterValidator(addresses.web)]
Store = Annotated[str, AfterValidator(addresses.store)]
DVCRemote = Annotated[str, AfterValidator(addresses.dvc_remote)]
TaskName = Annotated[str, AfterValidator(known_task)]
Experiment = Annotated[str, AfterValidator(experiment)]
Pause = Annotated[str, AfterValidator(rules.pause)]
Seconds = Annotated[int, Field(gt=0, le=366 * 24 * 3600)]
UserId = Annotated[int, Field(gt=0, le=2**31 - 1)]
LONGEST_PAUSE_S = 7 * 24 * 3600


class Part(BaseModel):
    """A part of a profile: no other keys, no guessed types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Toleration(Part):
    """A taint that a task's pod puts up with."""

    key: LabelKey
    operator: Literal["Exists", "Equal"] = "Exists"
    value: LabelValue = ""
    effect: Literal["NoSchedule", "NoExecute", "PreferNoSchedule"] = "NoSchedule"

    @model_validator(mode="after")
    def value_has_a_meaning(self) -> "Toleration":
        """Refuse a value that nothing is compared with."""
        if self.value and self.operator == "Exists":
            raise ValueError(
                f"value: {self.value!r} means nothing with the operator Exists; give operator: "
                "Equal, or no value"
            )
        return self


class Secret(Part):
    """A Secret whose keys become environment variables; no value is ever written here."""

    name: ObjectName
    keys: Annotated[dict[SecretKey, Variable], Field(min_length=1)]
    """Key in the Secret: environment variable."""

    @model_validator(mode="after")
    def each_variable_once(self) -> "Secret":
        """Refuse a variable that two keys set: only one would count."""
        twice = {name for name in self.keys.values() if list(self.keys.values()).count(name) > 1}
        if twice:
            raise ValueError(f"keys: two keys set {', '.join(sorted(twice))}; leave out one")
        return self


class Volume(Part):
    """A persistent volume claim."""

    claim: Claim
    folder: Folder | None = None
    """Subfolder of the volume."""


class Remote(Part):
    """A DVC remote, from which the task fetch_data pulls the version that data.dvc names."""

    remote: DVCRemote
    endpoint_url: Web | None = None
    """Address of an S3-compatible store."""
    secret: Secret | None = None

    @model_validator(mode="after")
    def endpoint_of_a_store(self) -> "Remote":
        """Refuse an endpoint of a remote that has none."""
        if self.endpoint_url and not self.remote.startswith("s3://"):
            raise ValueError(
                f"endpoint_url: {self.endpoint_url!r} is only for a remote of s3://; leave it out"
            )
        return self


class Data(Part):
    """Where the data set comes from: exactly one of the three."""

    volume: Volume | None = None
    uri: Store | None = None
    """Folder in the object store of Kubeflow's own pipeline root: s3://, gs:// or minio://."""
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

    type: DeviceResource = "nvidia.com/gpu"
    count: Annotated[int, Field(ge=0, le=64)] = 1
    node_selector: dict[LabelKey, LabelValue] = {}
    tolerations: tuple[Toleration, ...] = (Toleration(key="nvidia.com/gpu"),)
    shm: Size = "2Gi"
    """Size of /dev/shm, through which the data loaders hand over batches. It is memory: the task
    gets as much on top of what its stage asks for."""
    timeout_s: Seconds = 7 * 24 * 3600


class CPU(Part):
    """What the other stages ask for."""

    node_selector: dict[LabelKey, LabelValue] = {}
    tolerations: tuple[Toleration, ...] = ()
    timeout_s: Seconds = 24 * 3600


class Retries(Part):
    """How often, and after how long, a failed task is started again."""

    count: Annotated[int, Field(ge=0, le=100)] = 3
    backoff: Pause = "60s"
    """Pause before the second attempt."""
    factor: Annotated[int, Field(ge=1, le=100), BeforeValidator(whole)] = 2
    """Each further pause is this many times as long."""

    @property
    def pauses(self) -> list[int]:
        """Seconds between one attempt and the next."""
        return [int(self.backoff.rstrip("s")) * self.factor**n for n in range(self.count)]

    @model_validator(mode="after")
    def pauses_end(self) -> "Retries":
        """Refuse pauses after which nobody waits any more."""
        if max(self.pauses, default=0) > LONGEST_PAUSE_S:
            raise ValueError(
                f"the pause before the last of {self.count} retries is {self.pauses[-1]} s, and "
                f"the longest is {LONGEST_PAUSE_S}; give a smaller factor, backoff or count"
            )
        return self


class Security(Part):
    """Whom the containers run as. (Kubeflow itself drops all capabilities.)"""

    user: UserId | None = 1000
    """null: whom the cluster chooses, as OpenShift does, else the image's own, 1000."""
    group: UserId | None = 1000
    """Counts only with a user."""


class MLflow(Part):
    """The tracking server; without an address, what Kubeflow's own MLflow plugin sets counts."""

    uri: Web | None = None
    """Address, without user and password: those come from the secret."""
    experiment: Experiment = "fourstep"
    secret: Secret | None = None


class Request(Part):
    """A task's own request, in place of what its stage declares."""

    cpu: Annotated[int, Field(gt=0, le=4096)] | None = None
    memory_gib: Annotated[int, Field(gt=0, le=65536)] | None = None
    """Without /dev/shm, which comes on top of it (``gpu.shm``)."""
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
    service_account: ObjectName | None = None
    image_pull_secrets: tuple[ObjectName, ...] = ()
    kubeflow_ui: Web | None = None
    """Address of Kubeflow's pages, for the links in MLflow."""
    tasks: dict[TaskName, Request] = {}
    """Requests by the task's name, that of its stage in dvc.yaml."""

    @model_validator(mode="after")
    def secrets_agree(self) -> "Profile":
        """Refuse two Secrets that set one variable of fetch_data: only one would count."""
        remote = self.data.dvc.secret if self.data.dvc else None
        tracking = self.mlflow.secret
        if remote and tracking and remote != tracking:
            both = {*remote.keys.values()} & {*tracking.keys.values()}
            if both:
                raise ValueError(
                    f"data.dvc.secret and mlflow.secret both set {', '.join(sorted(both))} in the "
                    "task fetch_data; leave it out of one of them"
                )
        return self


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
        return f"{key}: {REMOVED.get(key, 'unknown key')}"
    if error["type"] == "missing":
        return f"{key}: is missing"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error" or "@" in str(error["input"]):  # it may be a password
        return f"{key}: {message}"
    return f"{key}: {message}, not {error['input']!r}"
