"""What may be concluded from the runs of a ledger? Statistics, fairness, ranking, leaderboard."""
