"""The harness: from a study's question to recorded, comparable results."""
