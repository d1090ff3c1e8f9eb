"""The pipeline as Kubeflow runs it: the four steps of Faster R-CNN's alternating training.

The same graph as dvc.yaml (tests/pipelines/test_same_graph.py). Two tasks come before it, for
here no DVC brings the data and knows its version: `data` and ``check_data``.
"""

from typing import Any

from kfp import dsl

from pipelines.tasks import Tasks


def four_step(run: Tasks) -> Any:
    """The pipeline with the images and the cluster that `run` has.

    Each input but the first is a section of params.yaml.
    """

    @dsl.pipeline(name="four-step", description=__doc__)
    def pipeline(
        data_version: dict,
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
        # Before anything expensive starts: all settings, and that the data are data.dvc's.
        params = run.check_params(
            validate_data=validate_data,
            init_backbone=init_backbone,
            train_rpn=train_rpn,
            generate_proposals=generate_proposals,
            train_detector=train_detector,
            finetune_rpn=finetune_rpn,
            finetune_detector=finetune_detector,
            evaluate=evaluate,
            export_onnx=export_onnx,
            validate_onnx=validate_onnx,
            register_model=register_model,
        )
        data = run.data(data_version, after=params)
        version = run("check_data", data_version, data=data).after(params)
        index = run("validate_data", validate_data, data=data).after(version).outputs["index"]
        source = {"data": data, "index": index}

        # Step 0: the classifier that steps 1 and 2 both start from.
        backbone = run("init_backbone", init_backbone, **source).outputs["backbone"]

        # Step 1: train the RPN; write its proposals.
        rpn = run("train_rpn", train_rpn, **source, backbone=backbone).outputs["rpn"]
        proposals = run("generate_proposals_1", generate_proposals, **source, rpn=rpn).outputs[
            "proposals"
        ]

        # Step 2: train the detector on them, from the initial convs again.
        detector = run(
            "train_detector", train_detector, **source, backbone=backbone, proposals=proposals
        ).outputs["detector"]

        # Step 3: fine-tune the RPN on the detector's convs, shared from here on; its proposals.
        shared_rpn = run(
            "finetune_rpn", finetune_rpn, **source, detector=detector, rpn=rpn
        ).outputs["network"]
        shared_proposals = run(
            "generate_proposals_3", generate_proposals, **source, rpn=shared_rpn
        ).outputs["proposals"]

        # Step 4: fine-tune the detector on those.
        network = run(
            "finetune_detector",
            finetune_detector,
            **source,
            detector=detector,
            rpn=shared_rpn,
            proposals=shared_proposals,
        ).outputs["network"]

        # What it is worth, and as ONNX, proven equal.
        evaluation = run(
            "evaluate",
            evaluate,
            **source,
            detector=network,
            unshared_rpn=rpn,
            unshared_detector=detector,
        ).outputs["metrics"]
        model = run("export_onnx", export_onnx, detector=network).outputs["model"]
        validation = run(
            "validate_onnx", validate_onnx, **source, detector=network, model=model
        ).outputs["metrics"]
        run(
            "register_model",
            register_model,
            model=model,
            evaluation=evaluation,
            validation=validation,
            index=index,
        )

    return pipeline
