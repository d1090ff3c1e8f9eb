"""Where and how a task's pod runs: the profile, put on the task."""

from kfp import dsl, kubernetes

from components.contract import Resources
from components.kubeflow import SCRATCH, VARIABLES
from components.tracking.pipeline_run import FOUR_STEP
from pipelines import kubernetes_rules
from pipelines.profile import CPU, GPU, Profile, Request, Retries, Secret, Toleration, Volume

DATA = "/data"
"""Where the volume with the data set is mounted."""
TEMPORARY = "/.cache"
"""A folder to write to that Kubeflow mounts in each pod, also where the root is read-only."""
ANNOTATION = "fourstep/task"
"""Of a pod: the variables of its stage."""
WAITING_S = 7 * 24 * 3600
"""How long each attempt may wait for a node, of the time in which a task is tried again."""


def place(
    task: dsl.PipelineTask,
    name: str,
    resources: Resources,
    profile: Profile,
    pipeline: str,
    commit: str,
) -> None:
    """Put the profile on the task of the stage `name`, and the commit its image is made of."""
    place_pod(task, name, resources, profile)
    scratch(task, profile)
    tell(task, resources, profile, pipeline, commit)
    retry(task, profile.retries, time_limit(name, resources, profile))


def place_pod(task: dsl.PipelineTask, name: str, resources: Resources, profile: Profile) -> None:
    """Put on a task what even check_params needs: no secrets, no volumes, and no second try."""
    request(task, name, resources, profile)
    pod(task, profile)


def retry(task: dsl.PipelineTask, retries: Retries, timeout_s: int) -> None:
    """Have Kubeflow start the task's pod again if it fails."""
    task.set_retry(
        retries.count,
        backoff_duration=retries.backoff,
        backoff_factor=retries.factor,
        backoff_max_duration=f"{retry_window(retries, timeout_s)}s",
    )


def retry_window(retries: Retries, timeout_s: int) -> int:
    """Seconds from the start of the first attempt in which all others can run to their end.

    kfp calls it ``backoff_max_duration``. It is Argo's ``maxDuration``, which is not a limit of the
    pauses: when it is over, a running attempt is ended and no other is started.
    """
    return (retries.count + 1) * (timeout_s + WAITING_S) + sum(retries.pauses)


def time_limit(name: str, resources: Resources, profile: Profile) -> int:
    """The longest time of a task's pod in seconds, without its wait for a node."""
    own = profile.tasks.get(name, Request())
    return own.timeout_s or (profile.gpu if resources.gpu else profile.cpu).timeout_s


def request(task: dsl.PipelineTask, name: str, resources: Resources, profile: Profile) -> None:
    """CPU, memory, GPU, time, and the nodes that have them."""
    cpu = str(profile.tasks.get(name, Request()).cpu or resources.cpu)
    memory = memory_limit(name, resources, profile)
    task.set_cpu_request(cpu).set_cpu_limit(cpu)
    task.set_memory_request(memory).set_memory_limit(memory)
    kind: GPU | CPU = profile.cpu
    if resources.gpu:
        kind = profile.gpu
        accelerate(task, resources, profile)
    kubernetes.set_timeout(task, time_limit(name, resources, profile))
    for label, value in kind.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    for toleration in kind.tolerations:
        tolerate(task, toleration)


def memory_limit(name: str, resources: Resources, profile: Profile) -> str:
    """Memory of a task: its stage's and, where it has one, all of /dev/shm.

    What lies in an emptyDir of memory counts against the limit of the container that wrote it.
    """
    gib = profile.tasks.get(name, Request()).memory_gib or resources.memory_gib
    shm = kubernetes_rules.mebibytes(profile.gpu.shm) if resources.gpu else 0
    return f"{gib * 1024 + shm}Mi"


def accelerate(task: dsl.PipelineTask, resources: Resources, profile: Profile) -> None:
    """Give a stage that uses a GPU its GPUs, and shared memory for its data loaders."""
    gpu, shm = profile.gpu, kubernetes_rules.SHM
    kubernetes.empty_dir_mount(task, shm, "/dev/shm", medium="Memory", size_limit=gpu.shm)
    if count := processes(resources, profile):
        task.set_accelerator_type(gpu.type).set_accelerator_limit(count)


def processes(resources: Resources, profile: Profile) -> int:
    """How many GPUs a stage asks for: all of them if several processes can run it."""
    return profile.gpu.count if resources.several else min(profile.gpu.count, 1)


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
    """Who runs it, and with which pull secrets."""
    user, group = profile.security.user, profile.security.group
    identity = {} if user is None else {"run_as_user": user, "run_as_group": group}
    kubernetes.set_security_context(task, run_as_non_root=True, **identity)
    if profile.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(profile.image_pull_secrets))


def scratch(task: dsl.PipelineTask, profile: Profile) -> None:
    """Give the task the volume for scratch folders, or a folder that goes with its pod."""
    if profile.scratch:
        mount(task, profile.scratch, SCRATCH)
    else:
        kubernetes.empty_dir_mount(task, kubernetes_rules.SCRATCH, SCRATCH)


def mount(task: dsl.PipelineTask, volume: Volume, path: str) -> None:
    """Mount a persistent volume claim, or a folder of it."""
    folder = {"sub_path": volume.folder} if volume.folder else {}
    kubernetes.mount_pvc(task, pvc_name=volume.claim, mount_path=path, **folder)


def tell(
    task: dsl.PipelineTask,
    resources: Resources,
    profile: Profile,
    pipeline: str,
    commit: str,
) -> None:
    """Tell the stage what it cannot know: its pipeline, MLflow, how often to try again.

    Variables of the container may be in the cache key. So what could change without changing a
    stage's work is an annotation of the pod, and a variable refers to it: one for all, since each
    costs its length many times in the state of the run (`components.kubeflow.take_variables`).
    """
    retries, mlflow = profile.retries, profile.mlflow
    known = {
        "FOURSTEP_IMAGE": task.container_spec.image.rpartition("sha256:")[2][:12],
        "FOURSTEP_GIT_COMMIT": commit,
        "FOURSTEP_PIPELINE_NAME": pipeline if pipeline != FOUR_STEP else None,
        "FOURSTEP_KFP_UI": profile.kubeflow_ui,
        "FOURSTEP_RETRIES": f"{retries.count} {retries.backoff} {retries.factor:g}",
        "FOURSTEP_PROCESSES": count if (count := processes(resources, profile)) > 1 else None,
        "MLFLOW_TRACKING_URI": mlflow.uri,
        "MLFLOW_EXPERIMENT_NAME": mlflow.experiment if mlflow.uri else None,
        "TMPDIR": TEMPORARY,
    }
    lines = "\n".join(f"{variable}={value}" for variable, value in known.items() if value)
    kubernetes.add_pod_annotation(task, ANNOTATION, lines)
    kubernetes.use_field_path_as_env(task, VARIABLES, f"metadata.annotations['{ANNOTATION}']")
    run_id = "metadata.labels['pipeline/runid']"
    kubernetes.use_field_path_as_env(task, "FOURSTEP_PIPELINE_RUN", run_id)
    if profile.mlflow.secret:
        use(task, profile.mlflow.secret)


def use(task: dsl.PipelineTask, secret: Secret) -> None:
    """Give the pod a Secret's keys as environment variables."""
    kubernetes.use_secret_as_env(task, secret.name, dict(secret.keys))
