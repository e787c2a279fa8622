"""What the access commands do: compare stack files, and put expectations to the broker."""
