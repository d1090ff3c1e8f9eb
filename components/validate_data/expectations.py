"""Checks by Great Expectations: what a check is, the expectations it is made of, running them."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

os.environ["GX_ANALYTICS_ENABLED"] = "false"


@dataclass(frozen=True)
class Check:
    """One rule for the rows of a table.

    Level ``box`` may be dropped with the box, ``data`` always stops the pipeline, ``warning``
    never does. `columns` are those whose values an offending row is shown with.
    """

    name: str
    table: Literal["boxes", "images", "files", "classes", "splits"]
    level: Literal["box", "data", "warning"]
    expectation: Any
    columns: tuple[str, ...]
    remedy: str


@dataclass(frozen=True)
class Outcome:
    """How a check went: the number of rows it looked at, and those that offend."""

    check: Check
    checked: int
    offending: pd.DataFrame

    @property
    def success(self) -> bool:
        """Whether no row offends."""
        return len(self.offending) == 0


def core() -> Any:
    """The expectations of Great Expectations, which takes longer to import than torch.

    So it is imported when the first check is made, by which time the images are decoded. It
    does not declare what it exports: types end here.
    """
    from great_expectations.expectations import core as expectations

    return expectations


def unique(*columns: str) -> Any:
    """No two rows agree in all `columns`."""
    if len(columns) == 1:
        return core().ExpectColumnValuesToBeUnique(column=columns[0])
    return core().ExpectCompoundColumnsToBeUnique(column_list=list(columns))


def one_of(column: str, *values: object) -> Any:
    """Values are among `values`; missing ones pass."""
    return core().ExpectColumnValuesToBeInSet(column=column, value_set=list(values))


def present(column: str) -> Any:
    """No value is missing."""
    return core().ExpectColumnValuesToNotBeNull(column=column)


def absent(column: str) -> Any:
    """All values are missing."""
    return core().ExpectColumnValuesToBeNull(column=column)


def between(column: str, **limits: Any) -> Any:
    """Values are within `limits`; missing ones pass."""
    return core().ExpectColumnValuesToBeBetween(column=column, **limits)


def greater(a: str, b: str) -> Any:
    """Column `a` is greater than `b`; rows that miss one of them pass."""
    return core().ExpectColumnPairValuesAToBeGreaterThanB(
        column_A=a, column_B=b, ignore_row_if="either_value_is_missing"
    )


def equal(a: str, b: str) -> Any:
    """Column `a` equals `b`; rows that miss one of them pass."""
    return core().ExpectColumnPairValuesToBeEqual(
        column_A=a, column_B=b, ignore_row_if="either_value_is_missing"
    )


class Validator:
    """Runs checks in one ephemeral context of Great Expectations."""

    def __init__(self) -> None:
        """Open the context, its progress bars and analytics switched off."""
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        self.context = gx.get_context(mode="ephemeral")
        self.context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self.source = self.context.data_sources.add_pandas("tables")

    def run(self, name: str, parts: Iterable[pd.DataFrame], checks: list[Check]) -> list[Outcome]:
        """The outcome of each check, which looks at single rows, on a table.

        The table comes in parts, of which one is held at a time: at least one, each with a
        column `row` that numbers the rows of the whole table from 0 on.

        Raises:
            RuntimeError: an expectation that could not be evaluated (an error of this program).
        """
        from great_expectations import ExpectationSuite

        asset = self.source.add_dataframe_asset(name)
        definition = asset.add_batch_definition_whole_dataframe("all")
        for check in checks:
            check.expectation.meta = {"check": check.name}
        suite = ExpectationSuite(name=name, expectations=[c.expectation for c in checks])
        found = [
            part_outcomes(definition.get_batch({"dataframe": table}), table, suite, checks)
            for table in parts
        ]
        return [combined(outcomes) for outcomes in zip(*found, strict=True)]


def part_outcomes(
    batch: Any, table: pd.DataFrame, suite: Any, checks: list[Check]
) -> list[Outcome]:
    """The outcome of each check on one part of a table."""
    report = batch.validate(
        suite,
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": ["row"],
            "include_unexpected_rows": False,
        },
    )
    # Great Expectations returns the results in an order of its own.
    found = {name_of(result): result for result in report.results}
    return [outcome(check, table, found[check.name]) for check in checks]


def combined(outcomes: Sequence[Outcome]) -> Outcome:
    """A check's outcome on a table from those on its parts."""
    offending = pd.concat([one.offending for one in outcomes])
    return Outcome(outcomes[0].check, sum(one.checked for one in outcomes), offending)


def name_of(result: Any) -> str:
    """The name of the check that a result belongs to."""
    return str(result.expectation_config.meta["check"])


def outcome(check: Check, table: pd.DataFrame, result: Any) -> Outcome:
    """A check's outcome from Great Expectations' result."""
    if "unexpected_index_list" not in result.result and not result.success:
        raise RuntimeError(f"check '{check.name}' could not be evaluated: {result.exception_info}")
    rows = sorted({int(entry["row"]) for entry in result.result.get("unexpected_index_list") or []})
    return Outcome(check, len(table), table.iloc[np.searchsorted(table["row"], rows)])
