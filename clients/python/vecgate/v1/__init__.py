"""Generated stubs of protos/vecgate/v1; made by `make protos`, never edited."""
