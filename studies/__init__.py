"""One file a question. A study imports `bench.spec` and gpt's configs, nothing else."""
