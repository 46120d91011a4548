"""What the board tells in sentences: which cell is best, at what cost, and how sure that is.

Each function returns one remark, or "" where there is nothing to remark, so that a terminal, a
report and MLflow say the same. They are written for a reader who has read no documentation.
"""

import math

from bench.conclude.doubts import is_ahead, say_names, say_open, say_unjudged
from bench.conclude.limits import ALIKE, say_edges, say_scope, say_sizes
from bench.conclude.standings import Standings
from bench.conclude.stats import FEWEST_FREEDOM, Gain, Race, Verdict
from bench.conclude.summary import summarize
from bench.conclude.times import are_told_apart
from bench.metrics import RELATIVE, UNITS, Metric, say_gain, say_size, say_value

COLUMNS: dict[Metric, str] = {
    "val_bits_per_byte": "bits_per_byte",
    "val_loss": "loss",
    "tokens_per_second": "tokens_per_second",
    "seconds_to_target": "train_seconds",
}
"""Metric -> the column of the summary that holds it."""

MOST_SHOWN = math.log(10)
"""An interval of ratios that reaches further to either side says nothing, and is not shown."""

SAME_BYTES = 1.01
"""Runs whose bytes of text are within this ratio read the same amount."""


def remarks(standings: Standings) -> list[str]:
    """All that there is to be said under a board, the answer first."""
    said = (
        say_answer(standings),
        say_open(standings),
        say_unjudged(standings),
        *say_evidence(standings.metric, standings.race),
        say_cost(standings),
        say_sizes(standings),
        say_edges(standings),
        say_scope(standings),
        say_seconds(standings),
        say_flaws(standings),
        say_lossy(standings),
        say_loss(standings),
        say_sharing(standings),
    )
    return [sentence for sentence in said if sentence]


def say_answer(standings: Standings) -> str:
    """Which cell is best, by how much, and whether that is shown."""
    if standings.refusal is not None:
        return f"Not ranked: {standings.refusal}."
    if not standings.leads:
        return ""
    best, nearest = standings.order[:2]
    cells = summarize(standings).set_index("key")
    value = say_value(standings.metric, float(cells.loc[best, COLUMNS[standings.metric]]))
    name, verdict = standings.names[best], standings.verdicts[best]
    if verdict is Verdict.UNDETERMINED:
        ahead = all(is_ahead(gain) for gain in standings.leads.values())
        what = "it leads by as much as matters" if ahead else "it is best"
        return f"{name} leads with {value}; whether {what} is undetermined."
    if verdict is Verdict.TIE:
        tied = [cell for cell, found in standings.verdicts.items() if found is Verdict.TIE]
        rivals = say_names(standings, [cell for cell in tied if cell != best])
        return f"{name} leads with {value}, in a tie with {rivals}: the difference doesn't matter."
    gain = standings.leads[nearest]
    level = say_level(standings.rule.alpha)
    ends = [say_size(standings.metric, end) for end in gain.interval]
    interval = f" ({level} interval: {' to '.join(ends)})" * is_known(standings.metric, gain)
    return (
        f"{name} is best: {value}, {say_size(standings.metric, gain.mean)} ahead of the next, "
        f"{standings.names[nearest]}{interval}."
    )


def say_evidence(metric: Metric, race: Race) -> list[str]:
    """What the verdicts of a race rest on: what matters, the noise, and the intervals' level."""
    if len(race.merits) < 2:
        return []
    share = f"{100 * race.rule.matters:.3g}%"
    if metric not in RELATIVE:
        share = f"{say_size(metric, race.matters)}{UNITS[metric]} ({share} of the best)"
    said = [f"A difference of less than {share} is taken not to matter."]
    if race.noise is None or race.noise.freedom < 1:
        return [*said, "How much runs differ by luck is not known yet."]
    sd, freedom = say_size(metric, math.sqrt(race.noise.pooled)), race.noise.freedom
    said.append(
        f"Another seed moves a run by about {sd} (standard deviation, without what a seed does to "
        f"all cells alike; {freedom} degree{'s' * (freedom != 1)} of freedom)."
    )
    if freedom >= FEWEST_FREEDOM:
        level = say_level(race.rule.alpha)
        said.append(
            f"With {level} confidence all true differences lie inside their intervals at once, "
            "however often you look."
        )
    return said


def say_cost(standings: Standings) -> str:
    """What the leader costs, beside those that cost least; in time only where that is known."""
    if not standings.leads:
        return ""
    cells = summarize(standings).set_index("key").loc[standings.order]
    best = standings.order[0]
    parts = []
    for column, thing, least in (
        ("train_seconds", "training seconds", "quickest"),
        ("n_params", "parameters", "smallest"),
    ):
        found, cheapest = cells[column], cells[column].idxmin()
        known = column != "train_seconds" or are_told_apart(standings, column, best, cheapest)
        if known and found[best] > ALIKE * found[cheapest]:
            ratio = f"{found[best] / found[cheapest]:.2g}"
            parts.append(f"{ratio} × the {thing} of the {least} ({standings.names[cheapest]})")
    return f"{standings.names[best]} costs {' and '.join(parts)}." if parts else ""


def say_seconds(standings: Standings) -> str:
    """That tokens a second mislead, where by seconds the order of two cells is another."""
    if standings.refusal is not None or not standings.complete:
        return ""
    cells = summarize(standings)
    worst, pair = 0.0, None
    for one in cells.itertuples():
        for other in cells.itertuples():
            more = math.log(max(one.n_bytes, other.n_bytes) / min(one.n_bytes, other.n_bytes))
            speed = math.log(one.tokens_per_second / other.tokens_per_second)
            longer = math.log(one.train_seconds / other.train_seconds)
            shorter = math.log(one.n_tokens / other.n_tokens)  # its tokens; else it is noise
            misled = min(speed, longer, shorter)
            if (
                more < math.log(SAME_BYTES)
                and misled > max(worst, math.log(ALIKE))
                and are_told_apart(standings, "train_seconds", one.key, other.key)
            ):
                worst, pair = misled, (one.cell, other.cell, math.exp(speed), math.exp(longer))
    if pair is None:
        return ""
    one, other, speed, longer = pair
    return (
        f"Compare train s, not tokens/s: {one} does {speed:.2g} × the tokens/s of {other} but "
        f"takes {longer:.2g} × its seconds for the same text, since its tokens are shorter."
    )


def say_flaws(standings: Standings) -> str:
    """Which cells are not ranked though some of their runs are complete, and why."""
    complete = dict.fromkeys(entry.cell for entry in standings.complete)
    flaws = [
        f"{standings.names[cell]} ({standings.flaws[cell]})"
        for cell in complete
        if cell in standings.flaws
    ]
    if not flaws:
        return ""
    return (
        f"Not ranked: {'; '.join(flaws)}. Such a cell can neither lead nor be better, for the "
        "runs that are left are those that happened to do well."
    )


def say_lossy(standings: Standings) -> str:
    """Which cells' numbers are of another text than that of the others."""
    lossy = dict.fromkeys(e.cell for e in standings.complete if not e.config.tokenizer.lossless)
    if not lossy:
        return ""
    return (
        f"Lossy: {say_names(standings, list(lossy))}. The tokenizer threw part of the text away, "
        "so bits/byte can't be compared with those of lossless ones."
    )


def say_loss(standings: Standings) -> str:
    """That losses of unlike tokenizers say nothing beside each other."""
    if len({entry.config.tokenizer.canonical() for entry in standings.complete}) < 2:
        return ""
    return (
        "Compare bits/byte, not loss: loss is per token, and a token of one tokenizer holds more "
        "text than that of another."
    )


def say_sharing(standings: Standings) -> str:
    """That speeds are those of a machine that several runs shared."""
    beside = {entry.facts.get("runs_side_by_side", 1) for entry in standings.complete}
    if beside <= {1}:
        return ""
    counts = " or ".join(map(str, sorted(beside)))
    return (
        f"Speeds and seconds are those of {counts} runs side by side, which share the machine: a "
        "run alone would be quicker."
    )


def say_level(alpha: float) -> str:
    """An interval's level, with as many digits as it takes: `99%`, `99.5%`."""
    return f"{100 * (1 - alpha):.4g}%"


def is_known(metric: Metric, gain: Gain) -> bool:
    """Whether there is evidence for an interval that says something."""
    return gain.margin < (MOST_SHOWN if metric in RELATIVE else math.inf)


def say_interval(metric: Metric, gain: Gain) -> str:
    """The interval of a gain: `+0.0040 to +0.0206`; without evidence for one, the gain alone."""
    ends = gain.interval if is_known(metric, gain) else (gain.mean,)
    if any(map(math.isnan, ends)):
        return "—"
    return " to ".join(say_gain(metric, end) for end in ends)
