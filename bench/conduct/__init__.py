"""How is a plan carried out, from its first run to its leaderboard?"""
