"""A run's own randomness: unmoved by its caller's, and its caller's unmoved by it."""

import pytest
import torch

from gpt.rng import PrivateRandomState

CPU = torch.device("cpu")


def draw() -> list[float]:
    return torch.rand(3).tolist()


def draw_and_fail() -> None:
    draw()
    raise RuntimeError


def test_it_gives_what_the_seed_gives_and_goes_on_where_it_left() -> None:
    torch.manual_seed(7)
    expected = [draw(), draw()]
    private = PrivateRandomState(CPU, 7)

    drawn = []
    for _ in range(2):
        torch.manual_seed(99)
        draw()
        with private:
            drawn.append(draw())

    assert drawn == expected


def test_the_caller_draws_as_if_nothing_had_been() -> None:
    torch.manual_seed(1)
    expected = [draw(), draw()]

    torch.manual_seed(1)
    private = PrivateRandomState(CPU, 7)
    drawn = [draw()]
    with private:
        draw()

    assert [*drawn, draw()] == expected


def test_the_caller_gets_its_state_back_after_an_error() -> None:
    private = PrivateRandomState(CPU, 7)
    before = torch.get_rng_state()

    with pytest.raises(RuntimeError), private:
        draw_and_fail()

    assert torch.equal(torch.get_rng_state(), before)


def test_two_runs_in_turn_do_not_mix() -> None:
    one, other, alone = (PrivateRandomState(CPU, seed) for seed in (7, 8, 7))

    mixed = []
    for _ in range(3):
        with other:
            draw()
        with one:
            mixed.append(draw())

    with alone:
        assert mixed == [draw() for _ in range(3)]
