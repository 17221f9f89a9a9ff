"""Wire messages into records and back: pure functions, one module a family of messages."""
