"""Several server processes on one address, and the supervisor that starts, replaces and stops them."""
