"""What the setup commands do: write a stack file for an existing broker."""
