"""Which text is this run about, to the byte, and which part of it is held out?"""

from gpt.corpora.corpus import Corpus, Span, Split
from gpt.corpora.download import SOURCES
from gpt.corpora.load import CORPORA_VARIABLE, KNOWN, load_corpus

__all__ = ["CORPORA_VARIABLE", "KNOWN", "SOURCES", "Corpus", "Span", "Split", "load_corpus"]
