"""The files that Mosquitto reads, and whether a change reloads or replaces the broker."""
