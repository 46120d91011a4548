"""What SentencePiece is made to do: checked by hand, by brute force and against itself."""

import io
import re
from collections.abc import Callable, Iterator
from pydoc_data.topics import topics

import numpy as np
import pytest
import sentencepiece as spm
import torch

from bench.run.notebook import VOCAB_SIZE, difference_from_notebook
from gpt.config import TokenizerConfig
from gpt.corpora import Corpus
from gpt.errors import InfeasibleError, MachineError
from gpt.tokenizers import sentencepiece, train_tokenizer
from gpt.tokenizers.original import OriginalUnigramTokenizer
from gpt.tokenizers.probe import left_out
from gpt.tokenizers.sentencepiece import SentencePieceTokenizer, sentences

PROSE = "\n".join(topics[name] for name in ("assert", "for", "import", "try", "while", "with"))


def pieces(tokenizer: SentencePieceTokenizer, text: str) -> list[bytes]:
    return [tokenizer.decode_bytes([token]) for token in tokenizer.encode(text)]


def test_byte_pairs_merged_by_hand() -> None:
    """Four characters and three merges, the most frequent pair first:

    ab ab ab abc abc d  ->  a+b (5 times) X X X Xc Xc d  ->  X+c (twice)
    """
    text = "ab\nab\nab\nabc\nabc\nd\n"
    tokenizer = SentencePieceTokenizer.train("bpe", [text], vocab_size=1 + 256 + 4 + 2)
    learned = [tokenizer.decode_bytes([token]) for token in range(257, tokenizer.vocab_size)]
    assert learned[:2] == [b"ab", b"abc"]
    assert sorted(learned[2:]) == [b"a", b"b", b"c", b"d"]
    assert pieces(tokenizer, "abcabd\n") == [b"abc", b"ab", b"d", b"\n"]


def test_the_likeliest_cut_is_found() -> None:
    """Unigram's cut against the best of all cuts, by brute force."""
    tokenizer = SentencePieceTokenizer.train("unigram", [PROSE], vocab_size=500)
    model = spm.SentencePieceProcessor(model_proto=tokenizer.files()["tokenizer.model"])
    scores = {
        model.IdToPiece(i).replace("\u2581", " "): model.GetScore(i)
        for i in range(257, len(model))
    }

    def cuts(text: str) -> Iterator[list[str]]:
        if not text:
            yield []
        for end in range(1, len(text) + 1):
            if text[:end] in scores:
                yield from ([text[:end], *rest] for rest in cuts(text[end:]))

    def score(cut: list[str]) -> float:
        return sum(scores[piece] for piece in cut)

    for text in ("the statement", "in the while", " exception"):
        candidates = list(cuts(text))
        assert len(candidates) > 5
        found = [piece.decode() for piece in pieces(tokenizer, text)]
        assert score(found) == pytest.approx(max(map(score, candidates)))


@pytest.mark.parametrize(
    "text", ["", "a\n", "a", "\n\n b", "x" * 5000, " w" * 5000, "é€😀" * 2000]
)
def test_sentences_join_to_the_text_and_suit_the_trainer(text: str) -> None:
    found = sentences(text)
    assert "".join(found) == text
    assert all(0 < len(sentence.encode()) <= 4192 for sentence in found)


def test_a_long_line_is_cut_where_no_piece_would_span() -> None:
    line = "the quick brown fox " * 1000
    found = sentences(line)
    assert len(found) > 15
    assert all(sentence.startswith(" ") for sentence in found[1:])
    tokenizer = SentencePieceTokenizer.train("unigram", [PROSE], vocab_size=500)
    model = spm.SentencePieceProcessor(model_proto=tokenizer.files()["tokenizer.model"])
    assert tokenizer.encode(line).tolist() == model.Encode(line)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize(
    "hidden",
    [
        "\n" + "zyzzyva " * 5000 + "\n",  # one line of 40 kB
        "\n\u2585 zyzzyva" * 300 + "\n",  # lines with the mark that 0.2.3 keeps for itself
        "\nzyzzyva zyzzyva zyzzyva\u2585" * 300 + "\n",
        "\n\u2047 zyzzyva" * 300 + "\n",
        "\n\u2581 zyzzyva" * 300 + "\n",
    ],
    ids=["long line", "U+2585", "U+2585 at the end", "U+2047", "U+2581"],
)
def test_the_trainer_skips_nothing(kind: str, hidden: str) -> None:
    tokenizer = SentencePieceTokenizer.train(kind, [PROSE + hidden], vocab_size=500)
    without = SentencePieceTokenizer.train(kind, [PROSE], vocab_size=500)
    assert len(tokenizer.encode(" zyzzyva")) == 1 < len(without.encode(" zyzzyva"))
    assert tokenizer.decode(tokenizer.encode(hidden)) == hidden


def test_a_text_whose_every_other_line_has_the_reserved_mark_is_trained_on_wholly() -> None:
    """What is learnt is what the same lines without the mark teach."""
    lines = PROSE.splitlines()
    marked = "\n".join(line + "\u2585" * (i % 2) for i, line in enumerate(lines))
    tokenizer = SentencePieceTokenizer.train("bpe", [marked], vocab_size=400)
    plain = SentencePieceTokenizer.train("bpe", ["\n".join(lines)], vocab_size=400)
    assert tokenizer.files()["tokenizer.model"] == plain.files()["tokenizer.model"]
    assert tokenizer.decode(tokenizer.encode(marked)) == marked


def test_the_trainers_own_log_speaks_of_nothing_skipped(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand and a half odd characters, each in a line of its own."""
    monkeypatch.setattr(sentencepiece, "COMMON", {**sentencepiece.COMMON, "minloglevel": 0})
    characters = [
        chr(i) for i in (*range(1, 0x300), *range(0x2000, 0x2100), *range(0x2500, 0x2600))
    ]
    text = "\n".join(f"{character} said the {character} cat" for character in characters)

    def skipped(train: Callable[[], object]) -> int:
        capfd.readouterr()
        train()
        log = capfd.readouterr().err.rpartition("Starts training")[2]  # of the last training
        assert "Loaded all" in log
        return log.count("Skipped") + ("too long" in log)

    lines = text.split("\n")
    raw = {"model_type": "bpe", "vocab_size": 1700, "minloglevel": 0}
    assert skipped(
        lambda: spm.SentencePieceTrainer.Train(
            sentence_iterator=iter(lines),
            model_writer=io.BytesIO(),
            **raw,
            **sentencepiece.LOSSLESS,
        )
    )
    assert not skipped(lambda: SentencePieceTokenizer.train("bpe", [text], vocab_size=1700))
    spm.set_min_log_level(2)


def test_the_trainer_is_asked_which_lines_it_leaves_out() -> None:
    options = {**sentencepiece.COMMON, **sentencepiece.LOSSLESS}
    kept = ["", "a", "\t", "\0", " ", "\u2581", "\u2047", "\U000f0000", "\U0010ffff", "x" * 4188]
    skipped = {"\u2585", "before \u2585 after", "x" * 4189}  # and a mark of 4 bytes behind it
    assert left_out([*kept, *skipped], options) == skipped
    many = [f"{i}" for i in range(30_000)]
    assert left_out([*many, "\u2585"], options) == {"\u2585"}


def test_a_trainer_that_leaves_out_the_longest_lines_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorter = {**sentencepiece.COMMON, "max_sentence_length": 2000}
    monkeypatch.setattr(sentencepiece, "COMMON", shorter)
    with pytest.raises(MachineError, match=r"lines of 4000 bytes .* install another version"):
        SentencePieceTokenizer.train("bpe", [PROSE], vocab_size=300)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_text_without_spaces_can_still_spell_one(kind: str) -> None:
    tokenizer = SentencePieceTokenizer.train(kind, ["abcabcabdabd\n" * 20], vocab_size=262)
    assert pieces(tokenizer, "a \u2581") == [b"a", b" ", b"\xe2", b"\x96", b"\x81"]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_runs_of_spaces_are_pieces(kind: str) -> None:
    tokenizer = SentencePieceTokenizer.train(kind, [PROSE], vocab_size=500)
    assert len(tokenizer.encode("        return")) < 9


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize(("vocab_size", "bound"), [(50_000, "at most"), (257, "at least")])
def test_an_impossible_vocabulary_is_infeasible_and_its_bound_is_exact(
    kind: str, vocab_size: int, bound: str
) -> None:
    with pytest.raises(InfeasibleError, match=rf"{bound} \d+ .* but got {vocab_size}$") as refusal:
        SentencePieceTokenizer.train(kind, [PROSE], vocab_size=vocab_size)
    possible = int(re.findall(r"\d+", str(refusal.value))[0])
    assert SentencePieceTokenizer.train(kind, [PROSE], vocab_size=possible).vocab_size == possible


@pytest.mark.parametrize("text", ["", "\n\n", "\0\0", "\u2581", "\u2585\n"])
@pytest.mark.parametrize("vocab_size", [300, 10**10])
def test_a_text_with_nothing_to_learn_is_infeasible(text: str, vocab_size: int) -> None:
    with pytest.raises(InfeasibleError, match="one that SentencePiece can learn"):
        SentencePieceTokenizer.train("unigram", [text], vocab_size=vocab_size)


def test_training_and_encoding_are_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    tokenizer = SentencePieceTokenizer.train("unigram", [PROSE], vocab_size=500)
    tokenizer.decode(tokenizer.encode(PROSE))
    assert capfd.readouterr() == ("", "")


def test_the_original_loses_white_space_and_forms() -> None:
    tokenizer = OriginalUnigramTokenizer.train("original-unigram", [PROSE], vocab_size=500)
    assert not tokenizer.lossless
    assert tokenizer.decode(tokenizer.encode("for\n\nwhile   \ufb01nally ")) == "for while finally"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unigram", "bpe", "original-unigram"])
def test_sentence_by_sentence_is_what_sentencepiece_does_at_once(
    real_corpus: Callable[[str], Corpus], kind: str
) -> None:
    corpus = real_corpus("don_quixote")
    tokenizer = train_tokenizer(TokenizerConfig(kind=kind, vocab_size=2000), corpus)
    model = spm.SentencePieceProcessor(model_proto=tokenizer.files()["tokenizer.model"])
    text = corpus.read(corpus.split("val"))
    assert tokenizer.encode(text).tolist() == model.Encode(text)


@pytest.mark.slow
def test_the_original_is_held_against_what_the_notebook_printed(
    real_corpus: Callable[[str], Corpus],
) -> None:
    """Where the ids are the notebook's, so are its first batch and its bigram model's first loss;
    where they are not (SentencePiece 0.2.3), the difference is said. The first pieces are those of
    the vocabulary file that its authors published (nvilacla04/quixote-gpt, quixote.vocab)."""
    corpus = real_corpus("don_quixote")
    config = TokenizerConfig(kind="original-unigram", vocab_size=VOCAB_SIZE)
    tokenizer = train_tokenizer(config, corpus)
    assert isinstance(tokenizer, OriginalUnigramTokenizer)
    published = ["<unk>", "<s>", "</s>", "<pad>", ",", "▁the", "▁and", "▁to", "▁of", "s", "▁that"]
    model = spm.SentencePieceProcessor(model_proto=tokenizer.files()["tokenizer.model"])
    assert [model.IdToPiece(i) for i in range(len(published))] == published

    ids = tokenizer.encode(corpus.path.read_text("utf-8"))
    difference = difference_from_notebook(tokenizer, ids[:20].tolist(), len(ids))

    data = torch.tensor(ids[: int(0.9 * len(ids))].astype(np.int64))
    torch.manual_seed(1337)
    starts = torch.randint(len(data) - 64, (4,))
    windows = torch.stack([data[start : start + 65] for start in starts])
    torch.manual_seed(1337)
    table = torch.nn.Embedding(4000, 4000)
    logits = table(windows[:, :-1]).flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(logits, windows[:, 1:].flatten()).item()

    printed = (425_906, [113, 7, 2650, 1449], pytest.approx(8.814183235168457, abs=1e-5))
    same = (len(ids), windows[0, :4].tolist(), loss) == printed
    assert same is (difference == "")
    if difference:
        assert f"{spm.__version__} found different pieces: 'hello fellas' is [14, " in difference
        assert f"has {len(ids):,} tokens, in the notebook 425,906" in difference


def test_the_notebooks_own_ids_differ_in_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = OriginalUnigramTokenizer.train("original-unigram", [PROSE], vocab_size=500)
    start = [1078, 266, 503, 461, 2299, 13, 18, 299, 13, 18, 547, 2097, 194, 214, 163, 45]
    start += [2208, 248, 341, 248]
    ids = np.array([14, 187, 101, 634, 209])
    monkeypatch.setattr(tokenizer, "encode", lambda text: ids if text == "hello fellas" else [])
    assert difference_from_notebook(tokenizer, start, 425_906) == ""
    assert "found different pieces" in difference_from_notebook(tokenizer, start[::-1], 425_906)
    ids[2] += 1
    assert "is [14, 187, 102, 634, 209]" in difference_from_notebook(tokenizer, start, 425_906)
