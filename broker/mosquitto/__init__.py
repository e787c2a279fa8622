"""The files that Mosquitto reads, and which change of them reloads or replaces."""
