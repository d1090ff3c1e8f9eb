"""At which scale a network is tested or deployed, and the metric that tells."""

from models.parameters import InputParameters


def scale_metric(trained: InputParameters, tested: InputParameters) -> dict[str, int]:
    """The metric ``scale``: the short side tested at, 0 for the whole pyramid.

    Nothing where there is one scale, that of the training: its figures are comparable with no word.
    """
    if tested == trained and not trained.scales:
        return {}
    return {"scale": 0 if tested.scales else tested.short_side}
