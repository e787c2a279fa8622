"""What a person runs: each module is one `make` command."""
