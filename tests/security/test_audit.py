"""The targets `audit` and `sbom`, SECURITY.md, and locks that name no place."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from cli.sbom import without_addresses
from pipelines.images import ROLES

ROOT = Path(__file__).parents[2]
LOCKS = ["requirements.txt", "requirements-uv.txt", *(f"requirements/{r}.txt" for r in ROLES)]


def commands(target, *variables):
    """What make would run for a target whose set-up is done."""
    words = ["make", "--dry-run", "--old-file=setup", target, *variables]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_audit_looks_at_the_lock_and_does_not_pass_without_an_answer():
    text = commands("audit")
    assert re.search(r"pip-audit@\d+\.\d+\.\d+ ", text)
    for option in (
        "--strict",
        "--require-hashes",
        "--disable-pip",
        "--requirement requirements.txt",
    ):
        assert option in text
    assert "|| true" not in text
    assert "--vulnerability-service osv" in commands("audit", "VULNERABILITIES=osv")


def test_the_bill_of_materials_is_made_of_the_lock():
    text = commands("sbom")
    assert re.search(r"cyclonedx-bom==\d+\.\d+\.\d+ ", text)
    assert "--output-reproducible" in text
    assert '--index-url ""' in text
    assert "requirements.txt" in text
    assert "build/" in (ROOT / ".gitignore").read_text().split()


def test_a_bill_names_no_address():
    reference = {"type": "distribution", "url": "https://index.example.com/a/", "hashes": [1]}
    component = {"purl": "pkg:pypi/a@1", "externalReferences": [reference]}
    tool = {"name": "t", "externalReferences": [{"url": "https://index.example.com/t"}]}
    bill = {"metadata": {"tools": {"components": [tool]}}, "components": [component, {"purl": "b"}]}
    text = json.dumps(without_addresses(bill))
    assert "://" not in text
    assert '"hashes": [1]' in text


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_place_and_has_a_hash_for_everything(name):
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"(^|\s)/\w|^-|\bfile:", text, re.MULTILINE)
    for package in re.split(r"\n(?=\S)", text.strip()):
        if not package.startswith("#"):
            assert "--hash=sha256:" in package, package


def test_the_threat_model_names_tests_that_are_there():
    text = (ROOT / "SECURITY.md").read_text()
    for heading in ("Reporting", "Supported versions", "Threat model", "Not defended against"):
        assert f"## {heading}" in text
    named = set(re.findall(r"`(tests/[\w/.]+)`", text))
    assert all((ROOT / name).exists() for name in named)
    own = {f"tests/security/{path.name}" for path in Path(__file__).parent.glob("test_*.py")}
    assert own <= named
