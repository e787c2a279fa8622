"""The figures of docs/explanation/bench.md, each a module that prints lines of its table."""
