"""The questions of a session: the times of their answers, and which of them is fastest.

Medians of answers that were timed one after another are shown, and not compared: which is fastest
is said by the times that were taken in turns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.conclude.stats import Race
from bench.micro.alternating import QuestionTimes
from bench.micro.report.results import Results, Row
from bench.micro.report.verdicts import (
    NOT_IN_TURNS,
    RULE,
    fastest,
    race,
    say,
    say_over_lengths,
)

IN_TURNS = (
    "in turns: the answers to a question were timed once more, in turns, so that what else the "
    f"machine does slows all of them; with {1 - RULE.alpha:.0%} all intervals of a question hold; "
    f"a difference of {RULE.matters:.0%} or less does not matter"
)


@dataclass(frozen=True)
class Question:
    """A series on one device."""

    rows: Sequence[Row]
    in_turns: Sequence[QuestionTimes]
    """Of this series and device."""

    @property
    def series(self) -> str:
        """The question in words, without its T."""
        return self.rows[0].series

    @property
    def where(self) -> str:
        """The device and, on a CPU, the number of threads."""
        row = self.rows[0]
        threads = f", {row.threads} thread{'s' if row.threads > 1 else ''}"
        return f"{row.device_name}{threads if row.device == 'cpu' else ''}"

    @property
    def lengths(self) -> list[int | None]:
        """Every T in the order of the session; `[None]` for a question without one."""
        return list(dict.fromkeys(row.T for row in self.rows))

    @property
    def names(self) -> list[str]:
        """The answers, in the order of the session."""
        return list(dict.fromkeys(row.name for row in self.rows))

    @cached_property
    def races(self) -> dict[int | None, Race]:
        """T -> what follows from the turns; a T without turns is missing."""
        return {question.T: race(question) for question in self.in_turns}

    def fastest(self, T: int | None) -> list[str]:
        """The fastest answer, or all that tie for it; none where there is no such verdict."""
        return fastest(self.races[T]) if T in self.races else []

    @property
    def verdicts(self) -> list[str]:
        """A line for each T that has two answers or more."""
        lines = []
        for T in self._compared:
            where = "" if T is None else f", T = {T}"
            if T in self.races:
                lines.append(f"in turns{where}: {say(self.races[T])}")
            else:
                lines.append(": ".join(filter(None, (where.lstrip(", "), NOT_IN_TURNS))))
        return lines

    @property
    def finding(self) -> str:
        """What was found, in a sentence over all T; empty if there was nothing to compare."""
        if None in self.races:
            return say(self.races[None])
        absent = [T for T in self._compared if T not in self.races]
        if absent and not self.races:
            return NOT_IN_TURNS
        parts = [say_over_lengths({T: race for T, race in self.races.items() if T is not None})]
        parts += [f"T = {T} {NOT_IN_TURNS}" for T in absent]
        return "; ".join(filter(None, parts))

    @property
    def _compared(self) -> list[int | None]:
        """Each T with two answers or more."""
        return [T for T in self.lengths if sum(row.T == T for row in self.rows) > 1]


def questions(results: Results) -> list[Question]:
    """The questions of a session, in its order."""
    found = []
    for series in results.series:
        rows = results.of(series)
        for device in dict.fromkeys(row.device for row in rows):
            found.append(
                Question(
                    rows=[row for row in rows if row.device == device],
                    in_turns=[
                        taken
                        for taken in results.in_turns
                        if (taken.series, taken.device) == (series, device)
                    ],
                )
            )
    return found


def summary(questions: Sequence[Question]) -> str:
    """How many of the comparisons ended in which verdict."""
    races = [race for question in questions for race in question.races.values()]
    n_fastest = [len(fastest(race)) for race in races]
    counts = {
        "one answer is fastest": n_fastest.count(1),
        "some tie for it": sum(n > 1 for n in n_fastest),
        "which is fastest is undetermined": n_fastest.count(0),
    }
    if not races:
        return f"The answers were {NOT_IN_TURNS}."
    shares = "; ".join(f"{words} in {count}" for words, count in counts.items() if count)
    return f"Of {len(races)} comparisons in turns: {shares}."
