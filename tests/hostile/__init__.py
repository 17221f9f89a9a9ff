"""What tests of bad bytes share: wrong messages, wrong frames, and what a process must not lose over them."""
