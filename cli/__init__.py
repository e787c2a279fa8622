"""The command line: `cli/app.py` and `cli/commands/` say what is typed, the others do it."""
