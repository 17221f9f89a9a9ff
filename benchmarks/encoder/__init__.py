"""How fast the encoder is, through a real server: `python -m benchmarks.encoder`."""
