"""What the tests of UpsertStream share."""
