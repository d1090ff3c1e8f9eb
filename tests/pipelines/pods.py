"""The pod that Kubeflow makes of a task: its container and its part of the platform document.

As KFP's driver does it (backend/src/v2/driver/k8s.go), with the hardening that it always adds.
"""

HARDENED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(name, container, config):
    """A Pod manifest."""
    mounts = [
        *(
            {"name": m["constant"], "mountPath": m["mountPath"]} | sub_path(m)
            for m in config.get("pvcMount", [])
        ),
        *(
            {"name": m["volumeName"], "mountPath": m["mountPath"]}
            for m in config.get("emptyDirMounts", [])
        ),
    ]
    spec = {
        "restartPolicy": "Never",
        "volumes": volumes(config),
        "containers": [
            {
                "name": "main",
                "image": container["image"],
                "command": container["command"],
                "args": container["args"],
                "env": [*container.get("env", []), *environment(config)],
                "resources": resources(container["resources"]),
                "volumeMounts": mounts,
                "securityContext": security(config["securityContext"]) | HARDENED,
            }
        ],
        "activeDeadlineSeconds": int(config["activeDeadlineSeconds"]),
        "tolerations": config.get("tolerations", []),
        "nodeSelector": config.get("nodeSelector", {}).get("labels", {}),
        "imagePullSecrets": [{"name": s["secretName"]} for s in config.get("imagePullSecret", [])],
    }
    annotations = config.get("podMetadata", {}).get("annotations", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations},
        "spec": spec,
    }


def sub_path(mount):
    return {"subPath": mount["subPath"]} if "subPath" in mount else {}


def volumes(config):
    claims = {m["constant"] for m in config.get("pvcMount", [])}
    return [
        *({"name": c, "persistentVolumeClaim": {"claimName": c}} for c in sorted(claims)),
        *(
            {"name": m["volumeName"], "emptyDir": empty_dir(m)}
            for m in config.get("emptyDirMounts", [])
        ),
    ]


def empty_dir(mount):
    return {k: mount[k] for k in ("medium", "sizeLimit") if k in mount}


def environment(config):
    for secret in config.get("secretAsEnv", []):
        for pair in secret["keyToEnv"]:
            reference = {"name": secret["secretName"], "key": pair["secretKey"]}
            yield {"name": pair["envVar"], "valueFrom": {"secretKeyRef": reference}}
    for field in config.get("fieldPathAsEnv", []):
        yield {"name": field["name"], "valueFrom": {"fieldRef": {"fieldPath": field["fieldPath"]}}}


def resources(asked):
    limits = {"cpu": asked["resourceCpuLimit"], "memory": asked["resourceMemoryLimit"]}
    requests = {"cpu": asked["resourceCpuRequest"], "memory": asked["resourceMemoryRequest"]}
    if "accelerator" in asked:
        limits[asked["accelerator"]["resourceType"]] = asked["accelerator"]["resourceCount"]
    return {"limits": limits, "requests": requests}


def security(context):
    user = {k: int(context[k]) for k in ("runAsUser", "runAsGroup") if k in context}
    return user | {"runAsNonRoot": context["runAsNonRoot"]}
