"""Measurements that are run by hand; each package is one command."""
