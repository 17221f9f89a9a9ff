"""What the tests of metrics share: a scrape, read, and expressions of PromQL, taken apart."""
