"""Gets a machine ready: the engine, the Docker daemon, the broker's image, the state backend."""
