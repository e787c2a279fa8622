"""The command line: `app.py` and `commands/` define the commands, the packages run them."""
