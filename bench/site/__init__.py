"""A stack that a bench measures: container, ports, folders, state and passphrase of its own."""

from bench.site.stack import Stack, TooSlowError, lets_in, temporary_stack

__all__ = ["Stack", "TooSlowError", "lets_in", "temporary_stack"]
