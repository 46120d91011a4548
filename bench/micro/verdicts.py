"""Which answer to a question is fastest? Decided only by times that were taken in turns."""

import math

from bench.conclude.looks import rule_of
from bench.conclude.stats import Race, Verdict, race_timings
from bench.micro.alternating import QuestionTimes

RULE = rule_of("tokens_per_second")


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
    leader, *rivals = race.order
    best = fastest(race)
    if len(best) > 1:
        return f"{', '.join(best)} tie for the fastest"
    if best:
        return f"{leader} is fastest: {rivals[0]}, the next, takes {_times(race, rivals[0])}"
    close = next(r for r in rivals if race.gain(leader, r).verdict is Verdict.UNDETERMINED)
    return (
        f"{leader} leads; whether it is fastest is undetermined: {close} takes "
        f"{_times(race, close)}"
    )


def _times(race: Race, rival: str) -> str:
    gain = race.gain(race.order[0], rival)
    ratio = math.exp(gain.mean)
    if not math.isfinite(gain.margin):
        return f"{_number(ratio)} times as long, in too few rounds"
    low, high = map(math.exp, gain.interval)
    return f"{_number(ratio)} ({_number(low)} to {_number(high)}) times as long"


def _number(ratio: float) -> str:
    """Two decimals; three significant digits if it is large."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.3g}"
