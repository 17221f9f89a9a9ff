"""Who may reach the server, and what for: TLS, API keys, what each method asks of a key, the audit log."""
