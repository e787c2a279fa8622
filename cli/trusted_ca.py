"""Which CA a client that we start trusts at a listener with TLS."""

from __future__ import annotations

import ssl

from broker.settings.listener_settings import Listener


def trust(listener: Listener, ca: str) -> ssl.SSLContext:
    """Return the context for *listener*; *ca* is the stack's own, as PEM, or empty."""
    # A given certificate's CA is somebody else's, and mostly in the system's list.
    given = listener.tls is not None and listener.tls.given
    return ssl.create_default_context(cadata=None if given else ca or None)
