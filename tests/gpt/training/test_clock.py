"""The clock, on a device that does its work late and a time that only moves when told."""

import pytest
from late_device import LateDevice

from gpt.training.clock import BUCKETS, Clock


@pytest.fixture
def device() -> LateDevice:
    return LateDevice()


def data_then_step(clock: Clock, device: LateDevice) -> dict[str, float]:
    with clock.measure("data"):
        device.work(1.0)
    with clock.measure("step"):
        device.work(5.0)
    device.synchronize()
    return clock.seconds


def test_work_is_charged_where_it_was_asked_for(device: LateDevice) -> None:
    seconds = data_then_step(Clock(device.synchronize, device.now), device)

    assert seconds == dict.fromkeys(BUCKETS, 0.0) | {"data": 1.0, "step": 5.0}


def test_rule_07_without_synchronisation_the_same_work_looks_free(device: LateDevice) -> None:
    seconds = data_then_step(Clock(lambda: None, device.now), device)

    assert seconds == dict.fromkeys(BUCKETS, 0.0)
    assert device.seconds == 6.0


def test_work_queued_before_a_region_is_not_charged_to_it(device: LateDevice) -> None:
    clock = Clock(device.synchronize, device.now)
    device.work(7.0)

    with clock.measure("step"):
        device.work(5.0)

    assert clock.seconds["step"] == 5.0
    assert clock.wall_seconds == 12.0


@pytest.mark.parametrize("slow", BUCKETS)
def test_a_sleep_moves_its_own_bucket_alone(slow: str, device: LateDevice) -> None:
    clock = Clock(device.synchronize, device.now)

    for bucket in BUCKETS:
        with clock.measure(bucket):
            device.work(1.0)
            device.sleep(10.0 if bucket == slow else 0.0)

    assert clock.seconds == dict.fromkeys(BUCKETS, 1.0) | {slow: 11.0}
    assert clock.wall_seconds == sum(clock.seconds.values())


def test_a_region_that_fails_is_charged_too(device: LateDevice) -> None:
    clock = Clock(device.synchronize, device.now)

    def fail() -> None:
        device.work(2.0)
        raise RuntimeError

    with pytest.raises(RuntimeError), clock.measure("step"):
        fail()

    assert clock.seconds["step"] == 2.0


def test_a_bucket_that_does_not_exist_is_an_error(device: LateDevice) -> None:
    with pytest.raises(KeyError), Clock(device.synchronize, device.now).measure("lunch"):
        pass
