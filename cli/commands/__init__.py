"""The commands and their options, one module per group. A command imports what it runs."""
