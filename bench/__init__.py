"""The figures of docs/bench.md, each a module that prints lines of its table."""
