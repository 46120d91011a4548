"""What limits an answer: sizes of models, the edge of a grid, and what was never tried."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from boards import runs, standings

from bench.conclude.limits import say_edges, say_scope, say_sizes
from bench.conclude.remarks import remarks
from bench.conclude.standings import Standings
from bench.metrics import Metric

VALUES = {"a": 1.9, "b": 2.0, "c": 2.1}


def sized(*n_params: float, metric: Metric = "val_bits_per_byte") -> Standings:
    """Cells a, b and c, best first, with so many parameters."""
    sizes = dict(zip(VALUES, n_params, strict=True))
    return standings(
        [
            replace(entry, summary={**entry.summary, "n_params": sizes[entry.label]})
            for entry in runs(VALUES)
        ],
        metric,
    )


def of_params(params: Mapping[str, Mapping[str, Any]]) -> Standings:
    """Cells a, b and c, best first, for which these values were chosen."""
    found = standings(runs(VALUES))
    keys = {name: key for key, name in found.names.items()}
    return replace(found, params={keys[name]: of_cell for name, of_cell in params.items()})


def test_only_cells_with_smaller_models_may_owe_their_gap_to_size() -> None:
    assert say_sizes(sized(7e5, 7e5, 2e5)) == (
        "b is not smaller than a; the gaps to the smaller models (200 k against 700 k parameters) "
        "may partly come from size."
    )
    assert say_sizes(sized(7e5, 3e5, 2e5)) == (
        "All others are smaller models (200 k to 300 k against 700 k parameters): part of the "
        "lead may come from size."
    )
    assert say_sizes(sized(2e5, 7e5, 2.05e5)) == ""


def test_of_speeds_the_larger_models_are_at_a_disadvantage() -> None:
    """c is the fastest."""
    assert say_sizes(sized(7e5, 7e5, 2e5, metric="tokens_per_second")).startswith(
        "All others are larger models (700 k against 200 k parameters)"
    )
    assert say_sizes(sized(2e5, 2e5, 7e5, metric="tokens_per_second")) == ""


def test_a_leader_at_the_edge_of_the_grid_is_said_to_be_there() -> None:
    found = of_params({name: {"n": n, "k": name} for name, n in (("a", 8), ("b", 4), ("c", 2))})

    assert say_edges(found) == "8 is the largest n compared: a larger one may be better."
    assert say_edges(found) in remarks(found)
    low = of_params({"a": {"rate": 0.1}, "b": {"rate": 0.2}, "c": {"rate": 0.4}})
    assert say_edges(low) == "0.1 is the smallest rate compared: a smaller one may be better."


def test_no_edge_is_said_where_there_is_none() -> None:
    middle = {"a": {"n": 4}, "b": {"n": 8}, "c": {"n": 2}}
    two_values = {"a": {"n": 4}, "b": {"n": 2}, "c": {"n": 2}}
    none_smaller = {"a": {"n": 1, "x": 0.0}, "b": {"n": 2, "x": 0.1}, "c": {"n": 3, "x": 0.2}}
    switches = {"a": {"x": True}, "b": {"x": False}, "c": {"x": 0}}

    for params in (middle, two_values, none_smaller, switches, {}):
        assert say_edges(of_params(params)) == ""


def test_it_is_said_for_what_the_answer_holds() -> None:
    assert say_scope(sized(7e5, 3e5, 2e5)) == (
        "This holds for 500,000 bytes of pydocs a run and models of at most 700 k parameters: "
        "with more text or larger models the order may be another."
    )
    assert say_scope(sized(7e5, 3e5, 2e5, metric="tokens_per_second")) == ""
