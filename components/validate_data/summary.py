"""The verdict in words and numbers: terminal lines, error message, metrics, result file."""

from pathlib import Path, PurePath
from typing import Any

from components.validate_data.expectations import Outcome
from components.validate_data.tables import records
from components.validate_data.validation import (
    Validation,
    class_counts,
    shown_value,
    split_counts,
)

SHOWN = 10
"""Offending rows listed on the terminal for each check; the files list all."""


def as_result(validation: Validation) -> dict[str, Any]:
    """The machine-readable result: each check with all offending rows, and the dropped boxes."""
    return {
        "success": not validation.failures,
        "layout": validation.layout,
        "on_bad_box": validation.on_bad_box,
        "classes": validation.classes,
        "categories_without_boxes": validation.unused,
        "splits": records(split_counts(validation.images)),
        "checks": [
            {
                "name": outcome.check.name,
                "table": outcome.check.table,
                "level": outcome.check.level,
                "success": outcome.success,
                "checked": outcome.checked,
                "unexpected": len(outcome.offending),
                "remedy": outcome.check.remedy,
                "rows": offending_rows(outcome, validation.layout),
            }
            for outcome in validation.outcomes
        ],
        "dropped_boxes": dropped_rows(validation),
    }


def offending_rows(outcome: Outcome, layout: str) -> list[dict[str, Any]]:
    """The offending rows with file, image, box (where they have one) and value."""
    columns = outcome.check.columns
    return [
        where(row) | {"value": shown_value(row, columns, layout)}
        for row in records(outcome.offending)
    ]


def dropped_rows(validation: Validation) -> list[dict[str, Any]]:
    """The boxes that were left out, with the checks that they fail."""
    return bad_rows(validation) if validation.on_bad_box == "drop" else []


def bad_rows(validation: Validation) -> list[dict[str, Any]]:
    """The boxes that fail a check, with the names of these checks."""
    return [
        where(row)
        | {"value": shown_value(row, ("annotated",), validation.layout), "failed": row["failed"]}
        for row in records(validation.bad)
    ]


def where(row: dict[str, Any]) -> dict[str, Any]:
    """Where a row of any table is: split, file, image, box; None for what it does not have."""
    values = {key: row.get(key) for key in ("split", "file", "image", "box")}
    return {key: value if isinstance(value, str) else None for key, value in values.items()}


def line(entry: dict[str, Any]) -> str:
    """An offending row as a line of text."""
    names = {"file": "", "image": "image ", "box": "box "}
    if PurePath(entry["file"] or "").stem == entry["image"]:
        del names["image"]  # VOC: the file's name says it
    parts = [f"{word}{entry[key]}" for key, word in names.items() if entry[key]]
    return " ".join([*parts, entry["value"]]).rstrip()


def listed(entries: list[dict[str, Any]]) -> list[str]:
    """The first rows as lines, and how many more there are."""
    lines = [f"    {line(entry)}" for entry in entries[:SHOWN]]
    more = len(entries) - SHOWN
    return [*lines, f"    ... and {more} more"] if more > 0 else lines


def outcome_lines(outcome: Outcome, layout: str) -> list[str]:
    """A failed check in a few lines: name, counts, rows, remedy."""
    count = f"{len(outcome.offending)} of {outcome.checked} {outcome.check.table}"
    return [
        f"  not met: {outcome.check.name} ({count})",
        *listed(offending_rows(outcome, layout)),
        f"    remedy: {outcome.check.remedy}",
    ]


def failure_message(validation: Validation, report: Path) -> str:
    """What stops the pipeline, for the terminal."""
    lines = [f"the data set fails {len(validation.failures)} of {len(validation.outcomes)} checks"]
    for outcome in validation.failures:
        lines += outcome_lines(outcome, validation.layout)
    if any(outcome.check.level == "box" for outcome in validation.failures):
        lines.append("  or set validate_data.on_bad_box to drop: bad boxes are left out and listed")
    return "\n".join([*lines, f"  all of it: {report} and result.json beside it"])


def summary_lines(validation: Validation) -> list[str]:
    """What was found, for the terminal: counts, warnings and dropped boxes."""
    splits = records(split_counts(validation.images))
    counts = "; ".join(
        f"{s['split']} {s['images']} images ({s['empty']} empty), {s['boxes']} boxes"
        for s in splits
    )
    lines = [f"validate_data: {counts}; {len(validation.classes)} classes ({validation.layout})"]
    if validation.unused:
        lines.append(f"  categories without a box, left out: {', '.join(validation.unused)}")
    for outcome in validation.warnings:
        lines += [
            row.replace("not met:", "warning:") for row in outcome_lines(outcome, validation.layout)
        ]
    if dropped := dropped_rows(validation):
        lines.append(f"  dropped boxes: {len(dropped)}")
        entries = [d | {"value": f"{d['value']}: not {d['failed']}"} for d in dropped]
        lines += listed(entries)
    return lines


def metrics(validation: Validation) -> dict[str, Any]:
    """The counts, one level deep."""
    splits = split_counts(validation.images).set_index("split")
    classes = class_counts(validation.kept, validation.classes).set_index("class")
    per_split = {
        name: {split: int(value) for split, value in splits[column].items()}
        for name, column in {
            "images": "images",
            "boxes": "boxes",
            "images_without_objects": "empty",
        }.items()
    }
    per_class = {
        f"boxes_by_class_{split}": {name: int(n) for name, n in classes[split].items()}
        for split in splits.index
    }
    return {
        "classes": len(validation.classes),
        "dropped_boxes": len(validation.dropped),
        "warnings": len(validation.warnings),
        **per_split,
        **per_class,
    }
