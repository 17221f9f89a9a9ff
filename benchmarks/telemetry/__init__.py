"""What it costs a call that the server is watched."""
