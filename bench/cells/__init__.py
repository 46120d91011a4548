"""Which cells does a study have? From its file to a grid of configs, without training anything."""
