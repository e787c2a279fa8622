"""What the message commands do: publish and watch."""
