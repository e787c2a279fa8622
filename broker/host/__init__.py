"""The broker's host: facts, requirements, paths, and calls of the scripts that run there."""
