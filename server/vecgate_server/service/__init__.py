"""The RPCs: each validates, calls encoder and backend, and translates back."""
