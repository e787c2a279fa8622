"""Attacks on the scripts of host/ by processes of other users of the host."""
