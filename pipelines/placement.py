"""Where and how a task's pod runs: the profile, put on the task."""

from typing import Any

from kfp import dsl, kubernetes

from components.contract import Resources
from pipelines.profile import CPU, GPU, Profile, Secret, Toleration, Volume

DATA, SCRATCH = "/data", "/scratch"
"""Where the volumes with the data set and for scratch folders are mounted."""


def place(
    task: dsl.PipelineTask, name: str, resources: Resources, profile: Profile, commit: str
) -> None:
    """Put the profile on the task of the stage `name`, and the commit its image is made of."""
    task.set_display_name(name)
    request(task, name, resources, profile)
    pod(task, profile)
    tracking(task, name, profile)
    if commit:  # as an annotation: a variable of the container would be in the cache key
        kubernetes.add_pod_annotation(task, "fourstep/commit", commit)
        commit_field = "metadata.annotations['fourstep/commit']"
        kubernetes.use_field_path_as_env(task, "FOURSTEP_GIT_COMMIT", commit_field)
    task.set_retry(
        profile.retries.count,
        backoff_duration=profile.retries.backoff,
        backoff_factor=profile.retries.factor,
        backoff_max_duration=profile.retries.most,
    )


def request(task: dsl.PipelineTask, name: str, resources: Resources, profile: Profile) -> None:
    """CPU, memory, GPU, time, and the nodes that have them."""
    own = profile.stages.get(name)
    cpu = (own and own.cpu) or resources.cpu
    memory = (own and own.memory_gib) or resources.memory_gib
    task.set_cpu_request(str(cpu)).set_cpu_limit(str(cpu))
    task.set_memory_request(f"{memory}Gi").set_memory_limit(f"{memory}Gi")
    kind: GPU | CPU = profile.gpu if resources.gpu else profile.cpu
    if isinstance(kind, GPU):
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit=kind.shm)
        if kind.count:
            task.set_accelerator_type(kind.type).set_accelerator_limit(kind.count)
    kubernetes.set_timeout(task, (own and own.timeout_s) or kind.timeout_s)
    for label, value in kind.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    for toleration in kind.tolerations:
        tolerate(task, toleration)


def tolerate(task: dsl.PipelineTask, toleration: Toleration) -> None:
    """Let the pod onto nodes with a taint."""
    value = toleration.value if toleration.operator == "Equal" else None
    kubernetes.add_toleration(
        task,
        key=toleration.key,
        operator=toleration.operator,
        value=value,
        effect=toleration.effect,
    )


def pod(task: dsl.PipelineTask, profile: Profile) -> None:
    """Who runs it, with which pull secrets, and which folders it can write to."""
    security = profile.security
    kubernetes.set_security_context(
        task, run_as_user=security.user, run_as_group=security.group, run_as_non_root=True
    )
    if profile.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(profile.image_pull_secrets))
    kubernetes.empty_dir_mount(task, "tmp", "/tmp")
    if profile.scratch:
        mount(task, profile.scratch, SCRATCH)
    else:
        kubernetes.empty_dir_mount(task, "scratch", SCRATCH)


def mount(task: dsl.PipelineTask, volume: Volume, path: str) -> None:
    """Mount a persistent volume claim, or a folder of it."""
    folder = {"sub_path": volume.folder} if volume.folder else {}
    kubernetes.mount_pvc(task, pvc_name=volume.claim, mount_path=path, **folder)


def tracking(task: dsl.PipelineTask, name: str, profile: Profile) -> None:
    """What the stage has to know to record itself in MLflow under the pipeline's run."""
    kubernetes.use_field_path_as_env(
        task, "FOURSTEP_PIPELINE_RUN", "metadata.labels['pipeline/runid']"
    )
    known: dict[str, Any] = {
        "FOURSTEP_STAGE": name,
        "FOURSTEP_SPOOL": f"{SCRATCH}/.tracking",
        "FOURSTEP_KFP_UI": profile.kubeflow_ui,
        "MLFLOW_TRACKING_URI": profile.mlflow.uri,
        "MLFLOW_EXPERIMENT_NAME": profile.mlflow.experiment if profile.mlflow.uri else None,
    }
    for variable, value in known.items():
        if value:
            task.set_env_variable(variable, value)
    if profile.mlflow.secret:
        use(task, profile.mlflow.secret)


def use(task: dsl.PipelineTask, secret: Secret) -> None:
    """Give the pod a Secret's keys as environment variables."""
    kubernetes.use_secret_as_env(task, secret.name, dict(secret.keys))
