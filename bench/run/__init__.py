"""How is a run trained? By workers, here or on a Ray cluster, which compute and record nothing."""
