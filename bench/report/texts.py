"""What the models wrote, and where each tokenizer spends its bits in a text that all share.

Both are among the files of each run, so no weights are loaded here.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.colors import to_hex

from bench.drawing import templates
from bench.report.story import Story
from bench.run.passage import PASSAGE_FILE, Passage

MOST = 12
"""Cells that are shown side by side."""

SAMPLE_CHARACTERS = 320

LINE_CHARACTERS = 44
"""Of the passage in a line, which is shown for one tokenizer below the other; a phone and half a
sheet of paper are as wide."""

MOST_BITS = 8.0
"""Bits per byte of the darkest colour, and of all above: those of a byte without any model."""

PALEST, DARKEST = 0.0, 0.62
"""The part of the map of colours on which black letters are legible."""


def samples(story: Story) -> Markup | None:
    """What the first run of each cell wrote after a line end."""
    found = [
        (story.names[key], text[:SAMPLE_CHARACTERS])
        for key in story.order[:MOST]
        if (text := _file(story, key, "sample.txt")) is not None
    ]
    if not found:
        return None
    return Markup(templates().get_template("report/samples.html").render(samples=found))


def passages(story: Story) -> dict[str, Passage]:
    """Name of a cell -> what it makes of the passage; the best cell of each tokenizer, or the best
    and the last one if all have the same. Cells that saw another text are left out."""
    if "tokenizer_digest" not in story.complete:
        return {}
    digests = story.complete.drop_duplicates("cell_key").set_index("cell_key").tokenizer_digest
    keys = list({digests[key]: key for key in reversed(story.order)}.values())[::-1]
    if len(keys) == 1:
        keys = list(dict.fromkeys([story.order[0], story.order[-1]]))
    found: dict[str, Passage] = {}
    for key in keys:
        text = _file(story, key, PASSAGE_FILE)
        if text is None:
            continue
        passage = Passage.from_json(text)
        if not found or passage.text == next(iter(found.values())).text:
            found[story.names[key]] = passage
    return dict(list(found.items())[:MOST])


def show_passages(passages: dict[str, Passage]) -> Markup:
    """The passage in lines, each for all cells, coloured by the bits that its bytes take."""
    texts = [passage.text for passage in passages.values()]
    spans = {name: list(_characters(passage)) for name, passage in passages.items()}
    blocks = [
        [
            (f"{name}, {passages[name].mean:.2f}", list(_spans(characters[start:stop])))
            for name, characters in spans.items()
        ]
        for start, stop in _lines(texts[0])
    ]
    steps = range(0, int(MOST_BITS) + 1, 2)
    scale = [(f"{bits}{'+' * (bits == MOST_BITS)}", _colour(bits)) for bits in steps]
    template = templates().get_template("report/passage.html")
    return Markup(template.render(blocks=blocks, scale=scale))


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Start and stop of each line of the page, which ends with a word where it can."""
    start = 0
    while start < len(text):
        stop = min(start + LINE_CHARACTERS, len(text))
        space = max(text.rfind(" ", start, stop), text.rfind("\n", start, stop)) + 1
        stop = space if space and stop < len(text) else stop
        yield start, stop
        start = stop


def _characters(passage: Passage) -> Iterator[tuple[str, int, float]]:
    """Each character, the number of the token in which it begins, and the mean of its bytes' bits
    per byte; a character within the same token as the one before it has the same number."""
    tokens = [token for token, n in enumerate(passage.n_bytes) for _ in range(n)]
    place = 0
    for character in passage.text:
        n_bytes = len(character.encode())
        within = tokens[place : place + n_bytes]
        bits = sum(passage.bits_per_byte[token] for token in within) / n_bytes
        yield character, within[0], bits
        place += n_bytes


def _spans(characters: Sequence[tuple[str, int, float]]) -> Iterator[tuple[str, str, str]]:
    """Text, colour and hint of each token in a line."""
    for _, group in groupby(characters, key=lambda character: character[1]):
        members = list(group)
        text = "".join(character for character, _, _ in members)
        bits = math.fsum(bits for _, _, bits in members) / len(members)
        yield text.replace("\n", "↵"), _colour(bits), f"{bits:.2f} bits/byte"


def _colour(bits: float) -> str:
    share = min(bits, MOST_BITS) / MOST_BITS
    return str(to_hex(colormaps["YlOrBr"](PALEST + share * (DARKEST - PALEST))))


def _file(story: Story, key: str, name: str) -> str | None:
    """A text file of the first complete run of a cell that has it."""
    runs = story.complete[story.complete.cell_key == key].sort_values("seed")
    return story.text_of(runs, name)
