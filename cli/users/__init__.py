"""What the user commands do: credentials, rotation, client certificates."""
