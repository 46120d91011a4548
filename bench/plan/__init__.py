"""What does a typed command come to, and what will it take? Nothing is trained here."""
