"""Which chains are compared, and which index they read."""

from pathlib import Path

from benchmarks.determinism import chosen
from benchmarks.validated import validated


def test_a_variant_is_run_after_the_one_that_it_is_compared_with():
    names = [variant.name for variant in chosen(["GPU, twice", "2 threads, twice"])]
    assert names == ["2 threads, not 1", "2 threads, twice", "GPU, not CPU", "GPU, twice"]
    assert [variant.name for variant in chosen(["no feature cache"])] == ["no feature cache"]


def test_an_index_that_is_brought_along_is_taken(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("of another machine")
    assert validated(tmp_path / "no data", tmp_path) == tmp_path / "index"
    assert (tmp_path / "index").read_text() == "of another machine"
