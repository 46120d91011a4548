"""Which lines does SentencePiece's trainer leave out? It says so in its log alone.

It leaves out long lines, and lines with a character that it reserves (U+2585 in 0.2.3). Here a
model is trained on the lines in question, each followed by a marker of its own: where the marker
was not learnt, the line was left out. That works with every version.
"""

import io
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

import sentencepiece as spm

LINES_AT_ONCE = 10_000

PRIVATE_USE = range(0xF0000, 0xFFFFE)
"""Plane 15 of Unicode, with enough characters without a meaning for `LINES_AT_ONCE` markers."""

ALL_CHARACTERS: Mapping[str, Any] = {
    "model_type": "char",
    "character_coverage": 1.0,
    "use_all_vocab": True,
    "vocab_size": 1000,  # asked for, but not kept to
}
"""Options with which every character of every line that is kept is learnt."""


def left_out(lines: Collection[str], options: Mapping[str, Any]) -> set[str]:
    """Those of these lines, without line ends, that a trainer with these options leaves out."""
    ordered = sorted(lines)
    found: set[str] = set()
    for first in range(0, len(ordered), LINES_AT_ONCE):
        found |= _left_out(ordered[first : first + LINES_AT_ONCE], options)
    return found


def _left_out(lines: list[str], options: Mapping[str, Any]) -> set[str]:
    used = set().union(*lines)
    unused = (marker for marker in map(chr, PRIVATE_USE) if marker not in used)
    markers = list(islice(unused, len(lines)))
    model = io.BytesIO()
    spm.SentencePieceTrainer.Train(
        sentence_iterator=iter(["a", *map(str.__add__, lines, markers)]),  # "a": one line is kept
        model_writer=model,
        **{**options, **ALL_CHARACTERS},
    )
    learnt = spm.SentencePieceProcessor(model_proto=model.getvalue())
    pairs = zip(lines, markers, strict=True)
    return {line for line, marker in pairs if learnt.IsUnknown(learnt.PieceToId(marker))}
