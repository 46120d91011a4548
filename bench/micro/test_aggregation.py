"""How should each token see the mean of its past: by a loop, by a product, or by running sums?"""

import pytest
import torch

from bench.micro import accounting
from bench.micro.aggregation import AGGREGATIONS
from bench.micro.checks import wrong_mean
from bench.micro.fixture import Place, Timed
from bench.micro.stopwatch import Subject

B, C = 4, 32


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_causal_mean(name: str, T: int, place: Place, timed: Timed) -> None:
    subject = Subject(series=f"causal mean, {place.dtype_name}", name=name, T=T)
    aggregate = AGGREGATIONS[name]
    x = torch.randn(B, T, C, generator=torch.Generator().manual_seed(1337))
    x = x.to(place.device, place.dtype)
    if (reason := wrong_mean(aggregate, x)) is not None:
        timed.refuse_wrong(subject, reason)
    work = accounting.aggregation(name, B, T, C, place.dtype.itemsize)

    with torch.inference_mode():
        timed(lambda: aggregate(x), subject, work, place.device, place.dtype)
