"""What several server processes bring: rows, and what they are given."""
