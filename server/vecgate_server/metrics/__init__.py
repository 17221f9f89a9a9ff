"""Metrics for Prometheus, over HTTP at /metrics.

Every figure is counted by the part that knows it and read from there when Prometheus asks, in a thread of its own; calls pay little for it.
docs/telemetry.md names them all.
"""
