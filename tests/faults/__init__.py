"""What the tests of faults share: records that can be checked, what may be stored after a crash, segment files, a small disk."""
