"""Stand-ins for the services of vendors, for tests. They prove our translation, not the vendors' engines."""
