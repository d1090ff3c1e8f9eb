"""The commands of `fourstep` for containers and Kubeflow."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pipelines.profile import Profile

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
IMAGES_FILE, PACKAGE_FILE = Path("build/images.json"), Path("build/kubeflow/four_step.yaml")
CONTEXT = Path(__file__).parents[1]


def images(
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
    from pipelines.images import BASE, ROLES, build

    found = build(
        CONTEXT,
        record,
        roles=only or ROLES,
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


def compile_command(
    output: Annotated[Path, typer.Option("--output", "-o", help="YAML file.")] = PACKAGE_FILE,
    profile: PROFILES = None,
    params: PARAMS = PARAMS_FILE,
    settings: SET = None,
    data_dvc: DATA = DATA_FILE,
    images: IMAGES = IMAGES_FILE,
    local_tags: LOCAL_TAGS = False,
) -> None:
    """Compile the pipeline for Kubeflow, and lint what came out."""
    from pipelines.profile import read_profile
    from pipelines.sections import read_yaml, with_settings

    sections = with_settings(read_yaml(params), settings or [])
    cluster = read_profile(profile or [])
    compile_and_lint(output, sections, cluster, data_dvc, images, local_tags=local_tags)
    typer.echo(f"{output}: for `fourstep submit`, `kfp run create` or Kubeflow's upload page")


def compile_and_lint(
    output: Path,
    sections: Mapping[str, Any],
    profile: "Profile",
    data_dvc: Path,
    images: Path,
    *,
    local_tags: bool = False,
) -> None:
    """Write the compiled pipeline and what the linter finds in it.

    Raises:
        typer.Exit: the linter has found an error.
    """
    from cli.lint import lint_or_fail
    from pipelines.compile import compile_pipeline, data_version
    from pipelines.images import commit, references

    compile_pipeline(
        output,
        sections=sections,
        version=data_version(data_dvc),
        images=references(images, local_tags=local_tags),
        profile=profile,
        commit=commit(images),
    )
    lint_or_fail(output, local_tags=local_tags)


def lint(
    file: Annotated[Path, typer.Argument(help="Compiled pipeline, anyone's.")],
    local_tags: LOCAL_TAGS = False,
) -> None:
    """Look for mistakes in a compiled pipeline; exit status 1: warnings, 2: errors."""
    from cli.lint import print_findings
    from pipelines.lint import exit_status
    from pipelines.lint import lint as find

    findings = find(file, allow_local_tags=local_tags)
    print_findings(file, findings)
    raise typer.Exit(exit_status(findings))


HOST = Annotated[
    str, typer.Option(help="Kubeflow Pipelines: https://kubeflow.example.com/pipeline.")
]
NAMESPACE = Annotated[str | None, typer.Option(help="Namespace, where there are several.")]
TOKEN_FILE = Annotated[
    Path | None, typer.Option(help="Bearer token; else FOURSTEP_KFP_TOKEN_FILE or _TOKEN.")
]
CA_BUNDLE = Annotated[Path | None, typer.Option(help="Certificates to trust, PEM.")]


def submit(
    host: HOST,
    profile: PROFILES = None,
    settings: SET = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the run to its end.")] = False,
    experiment: Annotated[str | None, typer.Option(help="Experiment, which must exist.")] = None,
    run_name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    namespace: NAMESPACE = None,
    token_file: TOKEN_FILE = None,
    ca_bundle: CA_BUNDLE = None,
    params: PARAMS = PARAMS_FILE,
    data_dvc: DATA = DATA_FILE,
    images: IMAGES = IMAGES_FILE,
    output: Annotated[Path, typer.Option("--output", "-o", help="YAML file.")] = PACKAGE_FILE,
) -> None:
    """Compile, upload as a version of the pipeline, and start a run."""
    from cli.submit import submit as start
    from components.digest import path_digest
    from pipelines.profile import read_profile
    from pipelines.sections import check_sections, read_yaml, with_settings
    from pipelines.submit import Connection

    cluster = read_profile(profile or [])
    sections = read_yaml(params)
    changed = with_settings(sections, settings or [])
    check_sections(changed, "--set")
    compile_and_lint(output, sections, cluster, data_dvc, images)
    status = start(
        output,
        Connection(host, namespace, token_file, ca_bundle, ui=cluster.kubeflow_ui),
        version=path_digest(output)[:12],
        parameters={k: v or {} for k, v in changed.items() if v != sections.get(k)},
        experiment=experiment,
        run_name=run_name,
        service_account=cluster.service_account,
        follow=watch,
    )
    raise typer.Exit(status)


def watch(
    run_id: Annotated[str, typer.Argument(help="Id of the run.")],
    host: HOST,
    namespace: NAMESPACE = None,
    token_file: TOKEN_FILE = None,
    ca_bundle: CA_BUNDLE = None,
) -> None:
    """Follow a run on Kubeflow to its end; the exit status is its result."""
    from cli.submit import watch as follow
    from pipelines.submit import Connection

    raise typer.Exit(follow(run_id, Connection(host, namespace, token_file, ca_bundle)))


def run_local(
    data: Annotated[Path, typer.Option(help="Folder of the data set.")] = Path("data"),
    params: PARAMS = PARAMS_FILE,
    settings: SET = None,
    data_dvc: DATA = DATA_FILE,
    images: IMAGES = IMAGES_FILE,
    root: Annotated[Path, typer.Option(help="Folder for outputs and cache.")] = Path("build/local"),
) -> None:
    """Run the compiled pipeline in containers of the local engine, as a cluster would."""
    from components.digest import path_digest
    from pipelines.local import local_profile, run_in_containers
    from pipelines.sections import read_yaml, with_settings

    package = root / ".four_step.yaml"
    sections = with_settings(read_yaml(params), settings or [])
    compile_and_lint(package, sections, local_profile(data), data_dvc, images, local_tags=True)
    for run in run_in_containers(package, root):
        typer.echo(f"{run.task:<24}{run.state}")
        for name, path in run.outputs.items():
            typer.echo(f"  {name:<22}{path_digest(path)[:16]}  {path}")
