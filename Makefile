# `make` runs everything that CI runs.
.PHONY: all test quick lint types results
all: lint types test

test:
	pytest

# Shows which tests without the mark `slow` deserve it.
quick:
	pytest -m 'not slow' --durations=0 --durations-min=2

lint:
	ruff check .
	ruff format --check .

types:
	mypy

# The studies of docs/results, each in a folder of its own, and their reports: under two hours on two cores.
RESULTS = tokenizers-tinyshakespeare tokenizers-don-quixote heads-and-layers block-size \
          modern-recipe attention-kernels

tokenizers-tinyshakespeare: STUDY = tokenizer_sweep
tokenizers-tinyshakespeare: OPTIONS = --corpus tinyshakespeare
tokenizers-don-quixote: STUDY = tokenizer_sweep
tokenizers-don-quixote: OPTIONS = --corpus don_quixote
heads-and-layers: STUDY = architecture_sweep
block-size: STUDY = block_size_sweep
modern-recipe: STUDY = modern_ablation
attention-kernels: STUDY = attention_sweep
attention-kernels: OPTIONS = --workers 1

results: $(RESULTS)

.PHONY: $(RESULTS)
$(RESULTS):
	mkdir -p build/results/$@
	cd build/results/$@ && python -m bench.study $(STUDY) $(OPTIONS)
	python -m bench.report $(STUDY) --folder build/results/$@ -o docs/results/$@.html \
		--svg build/results/$@/pictures
	cp build/results/$@/pictures/leaderboard-2.svg docs/results/$@.svg
