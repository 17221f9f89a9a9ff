"""What a request must hold; a broken rule is an InvalidArgumentError with the field's path, before any effect."""
