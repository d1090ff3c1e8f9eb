"""Rule `equal-containers`: components that Kubeflow would take for one another.

Its server keeps a component's interface by the hash of its container alone
(`hashComponentContainer` in argocompiler/argo.go, Kubeflow Pipelines 2.17). Of two components with
equal containers each task then has the outputs of one of them.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf.json_format import MessageToDict

from pipelines.lint.finding import Finding
from pipelines.lint.pipeline import Pipeline


def equal_containers(pipeline: Pipeline) -> Iterator[Finding]:
    """Components with equal containers and other outputs."""
    seen: dict[bytes, tuple[str, Any]] = {}
    for name, component in pipeline.components.items():
        executor = pipeline.executors.get(component.executor_label)
        if executor is None or not executor.HasField("container"):
            continue
        outputs = MessageToDict(component.output_definitions)
        container = executor.container.SerializeToString(deterministic=True)
        twin, other = seen.setdefault(container, (name, outputs))
        if other != outputs:
            yield Finding(
                "error",
                "equal-containers",
                name,
                f"its container is equal to that of {twin}, whose outputs are others: Kubeflow "
                "takes both components for one; give one of them another argument, such as its "
                "name",
            )
