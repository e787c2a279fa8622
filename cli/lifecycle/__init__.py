"""What the lifecycle commands do, except for up: down, restart, status."""
