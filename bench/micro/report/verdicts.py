"""Which answer to a question is fastest? Decided only by times that were taken in turns."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby

from bench.conclude.looks import rule_of
from bench.conclude.stats import Race, Verdict, race_timings
from bench.micro.alternating import QuestionTimes

RULE = rule_of("tokens_per_second")

NOT_IN_TURNS = "not timed in turns: no verdict on which is fastest"


def race(question: QuestionTimes) -> Race:
    """Compare the answers by the rule for cells; all intervals of a question hold together."""
    return race_timings(question.seconds, RULE)


def fastest(race: Race) -> list[str]:
    """The fastest answer, or all that tie for it; none where that is undetermined."""
    leader, *rivals = race.order
    best = race.verdicts[leader]
    if best is Verdict.UNDETERMINED:
        return []
    return [leader, *(name for name in rivals if race.verdicts[name] is Verdict.TIE)]


def say(race: Race) -> str:
    """`matmul is fastest: loop, the next, takes 1.41 (1.38 to 1.44) times as long`."""
    return ": ".join(filter(None, (_claim(race), _evidence(race))))


def say_over_lengths(races: Mapping[int, Race]) -> str:
    """The verdicts in one sentence; lengths in a row with the same verdict are said together.

    `matmul is fastest at T = 8 to 32: at T = 32 loop, the next, takes 1.41 (1.38 to 1.44) times
    as long; loop, matmul tie for the fastest at T = 64`
    """
    parts = []
    for _, group in groupby(sorted(races), key=lambda T: sorted(fastest(races[T]))):
        lengths = list(group)
        last = races[lengths[-1]]
        evidence = _evidence(last)
        if evidence and len(lengths) > 1:
            evidence = f"at T = {lengths[-1]} {evidence}"
        claim = _claim(last, f" at {name_lengths(lengths)}")
        parts.append(": ".join(filter(None, (claim, evidence))))
    return "; ".join(parts)


def name_lengths(lengths: Sequence[int]) -> str:
    """`T = 8`, or `T = 8 to 32` for lengths in a row."""
    return f"T = {lengths[0]}" + (f" to {lengths[-1]}" if len(lengths) > 1 else "")


def times_as_long(race: Race, name: str) -> tuple[float, float, float]:
    """The time of an answer as a multiple of the leader's, and the ends of its interval.

    The ends are NaN where there were too few rounds for an interval.
    """
    gain = race.gain(race.order[0], name)
    if not math.isfinite(gain.margin):
        return math.exp(gain.mean), math.nan, math.nan
    low, high = map(math.exp, gain.interval)
    return math.exp(gain.mean), low, high


def _claim(race: Race, where: str = "") -> str:
    best = fastest(race)
    if len(best) > 1:
        return f"{', '.join(best)} tie for the fastest{where}"
    if best:
        return f"{best[0]} is fastest{where}"
    return f"which is fastest{where} is undetermined"


def _evidence(race: Race) -> str:
    """By how much, or what is in the way of a verdict; nothing for a tie."""
    leader, *rivals = race.order
    best = fastest(race)
    if len(best) > 1:
        return ""
    if best:
        return f"{rivals[0]}, the next, takes {_times(race, rivals[0])}"
    close = next(r for r in rivals if race.gain(leader, r).verdict is Verdict.UNDETERMINED)
    return f"{leader} leads, {close} takes {_times(race, close)}"


def _times(race: Race, rival: str) -> str:
    ratio, low, high = times_as_long(race, rival)
    if math.isnan(low):
        return f"{_number(ratio)} times as long, in too few rounds"
    return f"{_number(ratio)} ({_number(low)} to {_number(high)}) times as long"


def _number(ratio: float) -> str:
    """Two decimals; three significant digits if it is large."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.3g}"
