"""Encoders: text into vectors, by sentence-transformers models."""
