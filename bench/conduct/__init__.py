"""How is a study conducted, from a typed command to its leaderboard?"""
