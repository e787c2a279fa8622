"""A broker that was set up by hand, read into a stack file."""
