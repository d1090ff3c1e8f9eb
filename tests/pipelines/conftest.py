"""The compiled pipeline, once for each way that the data come."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import yaml

from components.dataset.dvc_version import DataVersion
from pipelines.images import ROLES

ROOT = Path(__file__).parents[2]
IMAGES = {
    role: f"registry.example.com/team/fourstep-{role}@sha256:{digit * 64}"
    for role, digit in zip(ROLES, "1234", strict=True)
}
VERSION = DataVersion("0123456789abcdef0123456789abcdef.dir", 3, 12)
PROFILES = {
    "volume": ["cluster.yaml", "data-volume.yaml"],
    "uri": ["cluster.yaml", "data-uri.yaml"],
    "dvc": ["cluster.yaml", "data-dvc.yaml"],
    "gpus": ["cluster.yaml", "several-gpus.yaml", "data-volume.yaml"],
    "joint": ["cluster.yaml", "data-volume.yaml"],
}
"""The profiles of each pipeline that is compiled: the four steps, by the way that the data come,
and joint training."""


@dataclass
class Compiled:
    """A compiled pipeline: the file and its two documents."""

    path: Path
    spec: dict
    platform: dict


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """A pipeline compiled with the example profiles: one of `PROFILES`."""
    from pipelines.compile import compile_pipeline
    from pipelines.profile import read_profile
    from pipelines.sections import read_sections

    @cache
    def compile_one(way):
        path = tmp_path_factory.mktemp(way) / "four_step.yaml"
        profile = read_profile([ROOT / "profiles" / name for name in PROFILES[way]])
        sections = read_sections(ROOT / "params.yaml")
        compile_pipeline(
            path,
            pipeline="joint" if way == "joint" else "four-step",
            sections=sections,
            version=VERSION,
            images=IMAGES,
            profile=profile,
            commit="c0ffee",
        )
        spec, platform = yaml.safe_load_all(path.read_text())
        return Compiled(path, spec, platform)

    return compile_one
