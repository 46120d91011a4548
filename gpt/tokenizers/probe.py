"""Which lines does SentencePiece's trainer leave out? It is asked: it tells its log alone.

It passes over lines with a mark that it keeps for itself (U+2585 in 0.2.3), and over those that it
finds too long. Here it learns the characters of the lines in question, each with a mark of ours
behind it: where a mark was not learnt, the line was left out. A thousand lines take some
milliseconds, and no version need be known.
"""

import io
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

import sentencepiece as spm

LINES_AT_ONCE = 10_000

PRIVATE_USE = range(0xF0000, 0xFFFFE)
"""Plane 15 of Unicode, where no character means anything: enough marks for `LINES_AT_ONCE`."""

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
    unused = (mark for mark in map(chr, PRIVATE_USE) if mark not in used)
    marks = list(islice(unused, len(lines)))
    model = io.BytesIO()
    spm.SentencePieceTrainer.Train(
        sentence_iterator=iter(["a", *map(str.__add__, lines, marks)]),  # one line is kept
        model_writer=model,
        **{**options, **ALL_CHARACTERS},
    )
    learnt = spm.SentencePieceProcessor(model_proto=model.getvalue())
    pairs = zip(lines, marks, strict=True)
    return {line for line, mark in pairs if learnt.IsUnknown(learnt.PieceToId(mark))}
