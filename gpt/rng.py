"""Randomness that belongs to one run.

Dropout draws from torch's global generator. A run that is suspended between two points must not be
moved by what its caller draws meanwhile, so it keeps its own state and swaps it in.
"""

import torch


class PrivateRandomState:
    """`with state:` runs a block on this state of torch's global generators, then restores them.

    Args:
        device: its generator is swapped too; the CPU's always is.
        seed: where the state starts.
    """

    def __init__(self, device: torch.device, seed: int) -> None:
        self._device = device
        outside = self._get()
        torch.manual_seed(seed)
        self._inside = self._get()
        self._set(outside)

    def __enter__(self) -> None:
        self._outside = self._get()
        self._set(self._inside)

    def __exit__(self, *_: object) -> None:
        self._inside = self._get()
        self._set(self._outside)

    def _get(self) -> list[torch.Tensor]:
        states = [torch.get_rng_state()]
        if self._device.type == "cuda":
            states.append(torch.cuda.get_rng_state(self._device))
        elif self._device.type == "mps":
            states.append(torch.mps.get_rng_state())
        return states

    def _set(self, states: list[torch.Tensor]) -> None:
        torch.set_rng_state(states[0])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(states[1], self._device)
        elif self._device.type == "mps":
            torch.mps.set_rng_state(states[1])
