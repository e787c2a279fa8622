"""Benchmarks: each module prints rows for the tables of docs/explanation/bench.md."""
