"""Between the client's types and the messages of vecgate.v1: pure functions, one module a family of messages."""
