"""Which runs are done, and which are left? Trials of an Optuna study in a journal file."""
