"""What the backup commands do: create, verify and restore archives."""
