"""Who trains a run? Workers, here or on a Ray cluster: they compute, and write no record."""
