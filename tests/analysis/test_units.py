"""Which queries are drawn together, and that their sums are exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.analysis.units import GRAIN, Units, count_differing, exact_totals
from evalkit.errors import DataError


def test_a_family_is_one_unit_and_a_lone_query_another() -> None:
    units = Units.of(["de-1", "x", "fr-1", "de-2"], {"de-1": "1", "fr-1": "1", "de-2": "2"})
    assert units.index.tolist() == [0, 1, 0, 2]
    assert units.sizes.tolist() == [2, 1, 1]
    assert (units.n_queries, units.n_units) == (4, 3)


def test_without_families_every_query_is_a_unit() -> None:
    assert Units.of(["a", "b"], {}).sizes.tolist() == [1, 1]


def test_a_lone_query_does_not_join_the_family_that_bears_its_id() -> None:
    """Queries a and b are family "c"; query c names no family, so it is not of it."""
    assert Units.of(["a", "b", "c"], {"a": "c", "b": "c"}).index.tolist() == [0, 0, 1]


def test_totals_add_up_each_column_of_a_unit() -> None:
    """Unit 0 holds rows 0 and 2: 1 + 3 = 4 and 10 + 30 = 40."""
    units = Units.of(["a", "b", "c"], {"a": "f", "c": "f"})
    values = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    assert units.totals(values).tolist() == [[4.0, 40.0], [2.0, 20.0]]


def test_totals_refuse_values_of_other_queries() -> None:
    with pytest.raises(ValueError, match="expected \\(2, m\\)"):
        Units.of(["a", "b"], {}).totals(np.zeros((3, 1)))


def test_the_typical_size_is_that_of_the_unit_of_an_average_query() -> None:
    """Three of four queries are in the unit of 3: (3 x 3 + 1 x 1) / 4 = 2.5."""
    assert Units.of(["a", "b", "c", "d"], {"a": "f", "b": "f", "c": "f"}).typical_size == 2.5


@pytest.mark.parametrize(("query_ids", "message"), [([], "no query"), (["a", "b", "a"], "'a' is given twice")])
def test_units_need_distinct_queries(query_ids: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Units.of(query_ids, {})


def test_differences_are_whole_grains_and_noise_is_a_tie() -> None:
    """0.5 is 2**29 grains; 0.1 + 0.2 - 0.3 is 5.6e-17."""
    totals = exact_totals(np.array([[0.5], [0.1 + 0.2 - 0.3], [-1.0]]), Units.of(["a", "b", "c"], {}))
    assert totals.tolist() == [[2.0**29], [0.0], [-(2.0**30)]]


def test_a_family_whose_queries_cancel_out_is_a_tie() -> None:
    """1/3 + 1/3 - 2/3 = 0, although each is rounded to grains."""
    units = Units.of(["a", "b", "c"], dict.fromkeys("abc", "f"))
    assert count_differing(exact_totals(np.array([[1 / 3], [1 / 3], [-2 / 3]]), units)).tolist() == [0]


@pytest.mark.parametrize("value", [float("nan"), 1.5, -float("inf")])
def test_what_is_no_difference_of_metrics_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="expected fractions"):
        exact_totals(np.array([[value]]), Units.of(["a"], {}))


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-1, 1)), min_size=1, max_size=40))
def test_units_lose_nothing(rows: list[tuple[int, float]]) -> None:
    """Whatever the families: sizes count every query, and totals sum to what the queries sum to."""
    ids = [str(row) for row in range(len(rows))]
    units = Units.of(ids, {name: str(family) for name, (family, _) in zip(ids, rows, strict=True) if family})
    differences = np.array([[value] for _, value in rows])
    totals = exact_totals(differences, units)
    assert units.sizes.sum() == len(rows)
    assert np.array_equal(totals, np.rint(totals))
    assert totals.sum() * GRAIN == pytest.approx(differences.sum(), abs=2e-9 * len(rows))
