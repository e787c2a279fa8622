"""Logins, fleets, password hashes, rotation and env files."""
