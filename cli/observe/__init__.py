"""What the observe commands do: run the checklist and read the broker's log."""
