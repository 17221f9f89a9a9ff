"""What the tests of the programs in other languages share."""
