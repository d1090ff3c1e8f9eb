"""The pipeline as Kubeflow runs it: the four steps of Faster R-CNN's alternating training.

The same graph as dvc.yaml (tests/pipelines/test_same_graph.py). Before it come the tasks for what
DVC does itself: bringing the data, and checking that they are the version of data.dvc.
"""

from collections.abc import Mapping
from typing import Any

from kfp import dsl

from pipelines.profile import Profile
from pipelines.tasks import Tasks


def four_step(images: Mapping[str, str], profile: Profile, commit: str = "") -> Any:
    """The pipeline, with the image of each role and where its tasks run.

    Its first input is the version of the data, from data.dvc; the others are the sections of
    params.yaml.
    """

    @dsl.pipeline(name="four-step", description=__doc__)
    def pipeline(
        dvc_version: dict,
        validate_data: dict,
        init_backbone: dict,
        train_rpn: dict,
        generate_proposals: dict,
        train_detector: dict,
        finetune_rpn: dict,
        finetune_detector: dict,
        evaluate: dict,
        export_onnx: dict,
        validate_onnx: dict,
        register_model: dict,
    ) -> None:
        run = Tasks("four-step", locals(), images, profile, commit)

        source = run.checked_source()

        # Step 0: the classifier that steps 1 and 2 both start from.
        backbone = run("init_backbone", step=0, **source).outputs["step_0_backbone"]

        # Step 1: train the RPN; write its proposals.
        rpn = run("train_rpn", step=1, **source, backbone=backbone).outputs["step_1_rpn"]
        proposals = run("generate_proposals_1", step=1, **source, rpn=rpn).outputs[
            "step_1_proposals"
        ]

        # Step 2: train the detector on them, from the initial convs again.
        detector = run(
            "train_detector", step=2, **source, backbone=backbone, proposals=proposals
        ).outputs["step_2_detector"]

        # Step 3: fine-tune the RPN on the detector's convs, shared from here on; its proposals.
        shared_rpn = run("finetune_rpn", step=3, **source, detector=detector, rpn=rpn).outputs[
            "step_3_network"
        ]
        shared_proposals = run("generate_proposals_3", step=3, **source, rpn=shared_rpn).outputs[
            "step_3_proposals"
        ]

        # Step 4: fine-tune the detector, which step 3's network holds, on those.
        network = run(
            "finetune_detector", step=4, **source, rpn=shared_rpn, proposals=shared_proposals
        ).outputs["step_4_network"]

        # What it is worth, and as ONNX, proven equal.
        evaluation = run(
            "evaluate",
            of="evaluation",
            **source,
            detector=network,
            unshared_rpn=rpn,
            unshared_detector=detector,
        )
        run.deploy(source, network, evaluation)

    return pipeline
