"""What Kubernetes, and Kubeflow's pods, take as names: so that compiling refuses the others.

The rules are those of Kubernetes' own validation. Its answers to the pods of a task, name by name,
lie in tests/pipelines/kubernetes_answers.json.
"""

import re

LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
QUALIFIED = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"

SHM, SCRATCH = "pod-shm", "pod-scratch"
"""Volumes of a task's pod that go with it."""
TAKEN_VOLUMES = {
    *(SHM, SCRATCH),
    # Kubeflow's
    *("kfp-launcher", "kfp-workspace", "custom-ca", "gcs-scratch", "s3-scratch", "minio-scratch"),
    *("dot-local-scratch", "dot-cache-scratch", "dot-config-scratch"),
    # Argo's
    *("var-run-argo", "tmp-dir-argo", "argo-staging", "input-artifacts", "exec-sa-token"),
}
"""A claim becomes a volume of its own name; two volumes of one name are refused as a pod."""
TAKEN_VARIABLES = {
    *("HOME", "PATH", "PYTHONPATH", "TMPDIR"),
    *("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"),
}
"""Variables that a task's container has from elsewhere, beside those with `TAKEN_PREFIXES`."""
TAKEN_PREFIXES = ("FOURSTEP_", "KFP_", "ARGO_")


def object_name(name: str) -> str:
    """The name, if a Secret or service account can have it.

    Raises:
        ValueError: it cannot.
    """
    if not re.fullmatch(SUBDOMAIN, name) or len(name) > 253:
        raise ValueError(
            f"{name!r} is not a name of Kubernetes'; give lower-case letters, digits, '-' and '.', "
            "with a letter or digit at each end and beside each '.', at most 253 characters"
        )
    return name


def claim_name(name: str) -> str:
    """The name, if a volume claim of this name can be mounted.

    Raises:
        ValueError: it cannot.
    """
    if not re.fullmatch(LABEL, name) or len(name) > 63:
        raise ValueError(
            f"{name!r} cannot be mounted: Kubeflow names the pod's volume after the claim, and "
            "Kubernetes takes lower-case letters, digits and '-' there, with a letter or digit at "
            "each end, at most 63 characters; make a claim of such a name for the same volume"
        )
    if name in TAKEN_VOLUMES:
        raise ValueError(
            f"{name!r} cannot be mounted: Kubeflow names the pod's volume after the claim, and the "
            "pod has a volume of this name already; make a claim of another name"
        )
    return name


def variable(name: str) -> str:
    """The name, if a Secret may set the environment variable.

    Raises:
        ValueError: it may not.
    """
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(
            f"{name!r} is not a name of a variable; give letters, digits and '_', no digit first"
        )
    if name in TAKEN_VARIABLES or name.startswith(TAKEN_PREFIXES):
        raise ValueError(
            f"{name} is a variable that the task has from elsewhere; give another, such as "
            "MLFLOW_TRACKING_USERNAME or AWS_ACCESS_KEY_ID (the address of MLflow is mlflow.uri)"
        )
    return name


def secret_key(key: str) -> str:
    """The key, if a Secret can have it.

    Raises:
        ValueError: it cannot.
    """
    right = re.fullmatch("[-._a-zA-Z0-9]+", key) and len(key) <= 253
    if not right or key == "." or key.startswith(".."):
        raise ValueError(
            f"{key!r} is not a key of a Secret; give letters, digits, '-', '_' and '.', at most 253"
        )
    return key


def label_key(key: str) -> str:
    """The key, if a node can have a label or taint with it.

    Raises:
        ValueError: it cannot.
    """
    if not is_qualified(key):
        raise ValueError(
            f"{key!r} is not a key of a label; give NAME or DOMAIN/NAME, such as "
            "nvidia.com/gpu.product, as `kubectl get nodes --show-labels` shows it"
        )
    return key


def is_qualified(name: str) -> bool:
    """Whether it is Kubernetes' qualified name: ``name`` or ``domain/name``."""
    domain, slash, rest = name.rpartition("/")
    if slash and not (re.fullmatch(SUBDOMAIN, domain) and len(domain) <= 253):
        return False
    return bool(re.fullmatch(QUALIFIED, rest)) and len(rest) <= 63


def label_value(value: str) -> str:
    """The value, if a node's label or taint can have it; it may be empty.

    Raises:
        ValueError: it cannot.
    """
    if value and (not re.fullmatch(QUALIFIED, value) or len(value) > 63):
        raise ValueError(
            f"{value!r} is not a value of a label; give letters, digits, '-', '_' and '.', with a "
            "letter or digit at each end, at most 63 characters"
        )
    return value


def resource_name(name: str) -> str:
    """The name, if a device plugin can offer a resource of this name.

    Raises:
        ValueError: it cannot.
    """
    native = "/" not in name or "kubernetes.io/" in name or name.startswith("requests.")
    if native or not is_qualified(f"requests.{name}"):
        raise ValueError(
            f"{name!r} is not a resource of a device plugin; give DOMAIN/NAME, such as "
            "nvidia.com/gpu or amd.com/gpu, as `kubectl describe nodes` lists it"
        )
    return name


def sub_path(folder: str) -> str:
    """The folder, if a volume's folder of this path can be mounted.

    Raises:
        ValueError: it cannot.
    """
    if not re.fullmatch(r"\w[\w-]*([./]\w[\w-]*)*", folder):
        raise ValueError(
            f"{folder!r} is not a folder of a volume; give a path of letters, digits, '_', '-' and "
            "single '.' and '/', such as datasets/voc2007"
        )
    return folder


def size(text: str) -> str:
    """The size, if it is one of memory as Kubernetes writes it.

    Raises:
        ValueError: it is not.
    """
    if not re.fullmatch("[1-9][0-9]{0,5}(Mi|Gi)", text):
        raise ValueError(f"{text!r} is not a size; give whole Mi or Gi, such as 512Mi or 8Gi")
    return text


def mebibytes(size: str) -> int:
    """A `size` as a number."""
    return int(size[:-2]) * (1024 if size.endswith("Gi") else 1)


def pause(text: str) -> str:
    """The time, if it is one as Kubeflow writes it.

    Raises:
        ValueError: it is not.
    """
    if not re.fullmatch("[1-9][0-9]{0,6}s", text):
        raise ValueError(f"{text!r} is not a pause; give whole seconds, such as 60s")
    return text
