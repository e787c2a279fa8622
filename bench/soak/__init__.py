"""A soak: what was acknowledged arrives, whatever happens to the broker meanwhile."""
