"""How fast records go in over a stream, through a real server."""
