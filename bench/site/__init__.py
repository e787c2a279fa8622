"""A temporary stack for benchmarks, with its own container, ports, folders and state."""

from bench.site.stack import Stack, TooSlowError, accepts_login, temporary_stack

__all__ = ["Stack", "TooSlowError", "accepts_login", "temporary_stack"]
