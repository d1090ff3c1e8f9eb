"""A profile is refused exactly where Kubernetes refuses what becomes of it.

kubernetes_answers.json was recorded with Kubernetes' own code, k8s.io/kubernetes v1.36.2: the pod
of train_rpn, with the value in its place, was merged into Kubeflow's pod as Argo does it
(strategicpatch) and given to ValidatePodCreate; names and keys of Secrets to ValidateSecret. An
empty answer: it is taken.
"""

import json
from pathlib import Path

import pytest

from components.errors import InputError
from pipelines import kubernetes_rules
from pipelines.profile import read_profile

ANSWERS = json.loads(Path(__file__).with_name("kubernetes_answers.json").read_text())


@pytest.mark.parametrize("row", ANSWERS, ids=[f"{json.dumps(r['profile']):.80}" for r in ANSWERS])
def test_a_value_is_refused_if_kubernetes_refuses_it(tmp_path, row):
    file = tmp_path / "profile.yaml"
    file.write_text(json.dumps({"data": {"volume": {"claim": "a"}}} | row["profile"]))
    if not row["answer"]:
        assert read_profile([file])
        return
    with pytest.raises(InputError) as error:
        read_profile([file])
    assert row["key"].split(" ")[0] in str(error.value)


def test_the_answers_have_both_kinds_for_each_key():
    for key in {row["key"] for row in ANSWERS}:
        taken = {not row["answer"] for row in ANSWERS if row["key"] == key}
        assert taken == {True, False}, key


@pytest.mark.parametrize("name", sorted(kubernetes_rules.TAKEN_VOLUMES))
def test_no_claim_has_the_name_of_a_volume_that_a_pod_has(tmp_path, name):
    file = tmp_path / "profile.yaml"
    file.write_text(json.dumps({"data": {"volume": {"claim": name}}}))
    with pytest.raises(InputError, match=rf"data\.volume\.claim: '{name}' .* of another name"):
        read_profile([file])
