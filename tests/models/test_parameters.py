"""The resize rule at one scale and at those of a pyramid."""

import pytest

from models.parameters import InputParameters


def test_one_scale_is_the_default_and_its_own_level():
    rule = InputParameters()
    assert (rule.scales, rule.roi_side) == ((), 224)
    assert rule.levels == (rule,)
    assert rule.at(0) is rule
    assert rule.at(600) == rule


def test_the_limit_of_the_longer_side_grows_with_the_scale():
    rule = InputParameters(scales=(480, 600, 1200))
    assert [(r.short_side, r.long_side) for r in rule.levels] == [
        (480, 800),
        (600, 1000),
        (1200, 2000),
    ]
    assert all(not r.scales for r in rule.levels)
    assert rule.at(0) is rule
    assert rule.at(720) == InputParameters(short_side=720, long_side=1200)


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ((600,), r"^scales: \(600,\) must be two or more that rise; leave them out"),
        ((700, 600), r"^scales: \(700, 600\) must be two or more that rise"),
        ((600, 600), "^scales: .* must be two or more that rise"),
        ((8, 600), "^scales: 8 is not allowed, each must be at least 16"),
        ((480, 1200), r"^scales: short_side 600 is not among \(480, 1200\); add it"),
    ],
)
def test_impossible_scales_are_refused(scales, message):
    with pytest.raises(ValueError, match=message):
        InputParameters(scales=scales)
