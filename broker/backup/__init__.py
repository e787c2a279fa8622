"""Backups: when they are made and what a host says of them."""
