"""Each broken example gives its own rule, the good one gives nothing."""

import pytest

from pipelines.lint import lint
from tests.pipelines.lint.files import EXAMPLES

RULES = {
    "schema": ("error", "components.comp-exit-handler-1.dag.tasks[train]", "'cachingOptions'?"),
    "dangling": ("error", "comp-exit-handler-1/train", "'download' is no task"),
    "unused-input": ("warning", "root.inputDefinitions.parameters.colour", "remove it"),
    "gpu-shm": ("warning", "comp-exit-handler-1/train", "/dev/shm"),
    "gpu-timeout": ("warning", "comp-exit-handler-1/train", "set_timeout"),
    "gpu-retry": ("warning", "comp-exit-handler-1/train", "set_retry"),
    "retry": ("error", "comp-exit-handler-1/train", "whole number"),
    "gpu-toleration": ("warning", "comp-exit-handler-1/train", "add_toleration"),
    "mutable-image": ("error", "deploymentSpec.executors.exec-prepare", "python:latest"),
    "equal-containers": ("error", "comp-train", "equal to that of comp-prepare"),
    "secret": ("error", "executors.exec-train.container.env[1].value", "AWS access key"),
    "size": ("error", "root.inputDefinitions.parameters", "10,000 bytes"),
    "cached-exit-handler": ("warning", "root/tidy-up", "set_caching_options(False)"),
}


def test_there_is_a_broken_example_for_each_rule():
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == {"good", *RULES}


def test_the_good_example_gives_nothing():
    assert lint(EXAMPLES / "good.yaml") == []


@pytest.mark.parametrize("rule", RULES)
def test_a_broken_example_gives_its_own_rule_only(rule):
    severity, where, words = RULES[rule]
    (finding,) = lint(EXAMPLES / f"{rule}.yaml")
    assert (finding.rule, finding.severity) == (rule, severity)
    assert where in finding.where
    assert words in finding.message
