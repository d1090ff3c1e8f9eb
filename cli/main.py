"""Entry point of the `fourstep` command."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import cluster
from cli.explain import INDEX, NETWORK, RPN
from components.errors import InputError

app = typer.Typer(
    name="fourstep",
    help="Four-step Faster R-CNN training: `dvc repro` runs it here, `submit` on a cluster.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
track_app = typer.Typer(help="MLflow tracking.", no_args_is_help=True)
app.add_typer(track_app, name="track")


@app.command("demo-data")
def demo_data(
    folder: Annotated[Path, typer.Argument(help="Folder to write.")] = Path("data"),
) -> None:
    """Make the embedded data set: handwritten digits composed on photos, COCO layout."""
    from cli.demo_data import make_demo_data

    make_demo_data(folder)


@app.command()
def check(
    params: Annotated[Path, typer.Argument(help="Settings to check.")] = Path("params.yaml"),
    executor_input: Annotated[
        str | None,
        typer.Option(
            "--executor_input", help="Kubeflow's task, as JSON, whose inputs are the sections."
        ),
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="File to list the checked sections in.")
    ] = None,
) -> None:
    """Check params.yaml: unknown keys and impossible values are errors that name the key."""
    from pipelines.sections import check_inputs, check_params

    sections = check_inputs(executor_input) if executor_input else check_params(params)
    if write:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text("".join(f"{name}\n" for name in sections))
    typer.echo(f"{len(sections)} sections are right")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="ONNX model of export_onnx.")],
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    output: Annotated[Path, typer.Option(help="Folder for pictures and detections.json.")] = Path(
        "predictions"
    ),
    score: Annotated[float, typer.Option(help="Show detections of at least this score.")] = 0.5,
) -> None:
    """Detect objects in images: pictures with boxes, and detections.json."""
    from cli.predict import predict as run

    run(model, images, output, score=score)


@app.command()
def explain(
    image: Annotated[Path, typer.Argument(help="Image to explain.")],
    network: Annotated[
        Path, typer.Option(help="Checkpoint of step 4 or of joint training.")
    ] = NETWORK,
    rpn: Annotated[
        Path | None,
        typer.Option(help=f"Step 1's checkpoint; if none is given, {RPN} if that is there."),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(help=f"Index with true boxes; if none is given, {INDEX} if that is there."),
    ] = None,
    output: Annotated[Path, typer.Option(help="Page to write.")] = Path("explain.html"),
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for the pictures and figures.json, too.")
    ] = None,
) -> None:
    """Explain the four steps on one image: a page of anchors, targets, proposals, RoIs, pooling."""
    from cli.explain.run import explain as run

    run(image, network, rpn, index, output, pictures)
    typer.echo(f"{output} is written")


@app.command()
def doctor() -> None:
    """Show what is installed and what is missing."""
    from cli.doctor import doctor as diagnose
    from cli.doctor import print_checks

    checks = diagnose()
    print_checks(checks)
    raise typer.Exit(int(any(c.status == "fail" for c in checks)))


@app.command()
def summary(
    build: Annotated[Path, typer.Argument(help="Folder of the stages' outputs.")] = Path("build"),
) -> None:
    """Print the figures of the last run."""
    from cli.summary import print_summary

    print_summary(build)


app.add_typer(cluster.app)


@track_app.command("replay")
def replay() -> None:
    """Ship to MLflow what earlier stages could not."""
    from components.tracking import replay as ship

    left = ship()
    typer.echo(f"{left} runs are still waiting" if left else "MLflow has every run")
    raise typer.Exit(int(left > 0))


def main() -> None:
    """Run the command; errors that are the user's to mend are printed without a traceback."""
    try:
        app()
    except InputError as error:
        sys.exit(f"fourstep: {error}")
