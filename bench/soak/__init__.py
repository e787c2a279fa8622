"""A soak test: acknowledged messages are delivered, whatever happens to the broker."""
