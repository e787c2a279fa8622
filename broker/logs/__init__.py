"""The broker's log: parser, inventory, authentication failures, rotation."""
