"""Backups: the timer, script calls and reports."""
