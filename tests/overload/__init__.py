"""What the test of overload is made of: a mix of calls, clients that offer it, and clients that misbehave."""
