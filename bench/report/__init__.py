"""The report of a study: one HTML file with its answer, and all that the answer rests on."""
