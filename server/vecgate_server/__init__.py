"""The vecgate server: configuration, service, translation, encoder pool, health."""
