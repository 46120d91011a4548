"""How a model learns: batches, the optimizer, the loop, evaluation."""
