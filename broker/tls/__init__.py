"""Certificates of the listeners."""
