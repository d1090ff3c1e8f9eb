"""The pipeline of joint training as Kubeflow runs it: one training in place of the four steps.

The same graph as joint/dvc.yaml (tests/pipelines/test_same_graph.py). train_joint.schedule says
whether both parts learn in one update or in turn, batch by batch.
"""

from collections.abc import Mapping
from typing import Any

from kfp import dsl

from pipelines.profile import Profile
from pipelines.tasks import Tasks


def joint(images: Mapping[str, str], profile: Profile, commit: str = "") -> Any:
    """The pipeline, as `pipelines.four_step.four_step`."""

    @dsl.pipeline(name="joint", description=__doc__)
    def pipeline(
        dvc_version: dict,
        validate_data: dict,
        init_backbone: dict,
        train_joint: dict,
        evaluate: dict,
        export_onnx: dict,
        validate_onnx: dict,
        register_model: dict,
    ) -> None:
        run = Tasks("joint", locals(), images, profile, commit)
        source = run.checked_source()
        backbone = run("init_backbone", step=0, **source).outputs["step_0_backbone"]
        network = run("train_joint", of="joint", **source, backbone=backbone).outputs[
            "joint_network"
        ]
        evaluation = run("evaluate", of="evaluation", **source, detector=network)
        run.deploy(source, network, evaluation)

    return pipeline
