"""The commands of `fourstep` for containers and Kubeflow."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from pipelines.profile import Profile

app = typer.Typer()

PipelineName = Literal["four-step", "joint"]
PIPELINE = Annotated[PipelineName, typer.Option(help="Which pipeline; see README.")]
PARAMS = Annotated[Path, typer.Option(help="Settings: the defaults of the pipeline's inputs.")]
DATA = Annotated[Path, typer.Option("--data-dvc", help="File that names the data's version.")]
PROFILES = Annotated[
    list[Path] | None, typer.Option("--profile", help="Cluster; later files lie over earlier ones.")
]
IMAGES = Annotated[Path, typer.Option(help="Record of the images, from `fourstep images`.")]
LOCAL_TAGS = Annotated[bool, typer.Option(help="Allow images that only the local engine knows.")]
SET = Annotated[
    list[str] | None, typer.Option("--set", help="A setting: train_rpn.solver.lr=0.002.")
]

PARAMS_FILE, DATA_FILE = Path("params.yaml"), Path("data.dvc")
IMAGES_FILE = Path("build/images.json")
CONTEXT = Path(__file__).parents[1]
OUTPUT = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="YAML file.", show_default="build/kubeflow/<pipeline>.yaml"
    ),
]


def package_file(pipeline: str) -> Path:
    """Where a compiled pipeline is written to by default."""
    return Path("build/kubeflow") / f"{pipeline.replace('-', '_')}.yaml"


@app.command("images")
def images_command(
    base: Annotated[str | None, typer.Option(help="Base image.")] = None,
    push: Annotated[
        str | None, typer.Option(help="Push to this prefix: registry.example.com/team.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Build these roles.")] = None,
    record: IMAGES = IMAGES_FILE,
    docker: Annotated[str, typer.Option(envvar="DOCKER", help="The engine's command.")] = "docker",
    option: Annotated[
        list[str] | None, typer.Option(help="Further option of `docker build`.")
    ] = None,
) -> None:
    """Build the images, push them if asked to, and record their digests for compile."""
    from pipelines.images import BASE, TARGETS, build

    found = build(
        CONTEXT,
        record,
        roles=only or TARGETS,
        base=base or BASE,
        push=push,
        docker=docker,
        options=option or [],
    )
    typer.echo(f"\n{'image':<10}{'size':>10}{'built in':>10}  reference")
    for role, image in found["images"].items():
        size, seconds = f"{image['size'] / 1e9:.2f} GB", f"{image['seconds']:.0f} s"
        typer.echo(f"{role:<10}{size:>10}{seconds:>10}  {image['reference']}")
    typer.echo(f"recorded in {record}")


@app.command("compile")
def compile_command(
    pipeline: PIPELINE = "four-step",
    output: OUTPUT = None,
    profile: PROFILES = None,
    params: PARAMS = PARAMS_FILE,
    settings: SET = None,
    data_dvc: DATA = DATA_FILE,
    images: IMAGES = IMAGES_FILE,
    local_tags: LOCAL_TAGS = False,
) -> None:
    """Compile the pipeline for Kubeflow, and lint what came out."""
    from pipelines.profile import read_profile
    from pipelines.sections import read_sections

    sections = read_sections(params, settings or [])
    cluster = read_profile(profile or [])
    package = output or package_file(pipeline)
    compile_and_lint(package, pipeline, sections, cluster, data_dvc, images, local_tags=local_tags)
    typer.echo(f"{package}: for `fourstep submit`, `kfp run create` or Kubeflow's upload page")


def compile_and_lint(
    output: Path,
    pipeline: str,
    sections: Mapping[str, Any],
    profile: "Profile",
    data_dvc: Path,
    images: Path,
    *,
    local_tags: bool = False,
) -> None:
    """Write the compiled pipeline if the linter finds no error in it.

    Raises:
        typer.Exit: the linter has found an error.
    """
    from cli.lint import lint_or_fail
    from pipelines.compile import compile_pipeline, dvc_version
    from pipelines.data_way import notes
    from pipelines.images import read_record, references

    record, version = read_record(images), dvc_version(data_dvc)
    aside = output.with_name(f".{output.stem}.unchecked.yaml")
    try:
        compile_pipeline(
            aside,
            pipeline=pipeline,
            sections=sections,
            version=version,
            images=references(images, local_tags=local_tags),
            profile=profile,
            commit=record.get("commit", ""),
        )
        lint_or_fail(aside, local_tags=local_tags)
        aside.replace(output)
        for note in notes(profile.data, version):
            typer.echo(f"note: {note}", err=True)
    finally:  # a file with an error, a secret perhaps, is not left behind
        aside.unlink(missing_ok=True)


@app.command("lint")
def lint(
    file: Annotated[Path, typer.Argument(help="Compiled pipeline, anyone's.")],
    local_tags: LOCAL_TAGS = False,
) -> None:
    """Look for mistakes in a compiled pipeline; exit status 1: warnings, 2: errors."""
    from cli.lint import lint_command

    raise typer.Exit(lint_command(file, local_tags=local_tags))


HOST = Annotated[
    str, typer.Option(help="Kubeflow Pipelines: https://kubeflow.example.com/pipeline.")
]
NAMESPACE = Annotated[str | None, typer.Option(help="Namespace, where there are several.")]
TOKEN_FILE = Annotated[
    Path | None, typer.Option(help="Bearer token; else FOURSTEP_KFP_TOKEN_FILE or _TOKEN.")
]
COOKIE_FILE = Annotated[
    Path | None, typer.Option(help="Session cookie; else FOURSTEP_KFP_COOKIE_FILE or _COOKIE.")
]
CA_BUNDLE = Annotated[Path | None, typer.Option(help="Certificates to trust, PEM.")]


@app.command("submit")
def submit(
    host: HOST,
    pipeline: PIPELINE = "four-step",
    profile: PROFILES = None,
    settings: SET = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the run to its end.")] = False,
    resubmit: Annotated[
        int, typer.Option(min=0, help="How often a watched run that fails is sent again.")
    ] = 0,
    experiment: Annotated[str | None, typer.Option(help="Experiment, which must exist.")] = None,
    run_name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    namespace: NAMESPACE = None,
    token_file: TOKEN_FILE = None,
    cookie_file: COOKIE_FILE = None,
    ca_bundle: CA_BUNDLE = None,
    params: PARAMS = PARAMS_FILE,
    data_dvc: DATA = DATA_FILE,
    images: IMAGES = IMAGES_FILE,
    output: OUTPUT = None,
) -> None:
    """Compile, upload as a version of the pipeline, and start a run."""
    from cli.submit import check_resubmit
    from cli.submit import submit as start
    from components.digest import path_digest
    from pipelines.profile import read_profile
    from pipelines.sections import PIPELINES, read_sections
    from pipelines.submit import Connection

    check_resubmit(resubmit, follow=watch)
    cluster = read_profile(profile or [])
    connection = Connection(
        host, namespace, token_file, ca_bundle, cookie_file, ui=cluster.kubeflow_ui
    )
    sections, changed = read_sections(params), read_sections(params, settings or [])
    package = output or package_file(pipeline)
    compile_and_lint(package, pipeline, sections, cluster, data_dvc, images)
    used = [name for name in PIPELINES[pipeline] if changed.get(name) != sections.get(name)]
    status = start(
        package,
        connection,
        version=path_digest(package)[:12],
        parameters={name: changed[name] or {} for name in used},
        experiment=experiment,
        run_name=run_name,
        service_account=cluster.service_account,
        follow=watch,
        resubmit=resubmit,
    )
    raise typer.Exit(status)


@app.command("watch")
def watch(
    run_id: Annotated[str, typer.Argument(help="Id of the run.")],
    host: HOST,
    namespace: NAMESPACE = None,
    token_file: TOKEN_FILE = None,
    cookie_file: COOKIE_FILE = None,
    ca_bundle: CA_BUNDLE = None,
) -> None:
    """Follow a run on Kubeflow to its end; the exit status is its result."""
    from cli.submit import watch as follow
    from pipelines.submit import Connection

    connection = Connection(host, namespace, token_file, ca_bundle, cookie_file)
    raise typer.Exit(follow(run_id, connection))


@app.command("run-local")
def run_local(
    data: Annotated[Path, typer.Option(help="Folder of the data set.")] = Path("data"),
    pipeline: PIPELINE = "four-step",
    params: PARAMS = PARAMS_FILE,
    settings: SET = None,
    data_dvc: DATA = DATA_FILE,
    images: IMAGES = IMAGES_FILE,
    root: Annotated[Path, typer.Option(help="Folder for outputs and cache.")] = Path("build/local"),
) -> None:
    """Run the compiled pipeline in containers of the local engine, as a cluster would."""
    from components.digest import path_digest
    from pipelines.local import local_profile, run_in_containers
    from pipelines.sections import read_sections

    package = root / f".{package_file(pipeline).name}"
    sections = read_sections(params, settings or [])
    profile = local_profile(data)
    compile_and_lint(package, pipeline, sections, profile, data_dvc, images, local_tags=True)
    for run in run_in_containers(package, root):
        typer.echo(f"{run.task:<24}{run.state}")
        for name, path in run.outputs.items():
            typer.echo(f"  {name:<22}{path_digest(path)[:16]}  {path}")
