"""The text of scripts of ``host/``, as the program runs them."""

from declared import ROOT

from broker.host.script_calls import assemble


def host_scripts(*names: str) -> str:
    """Return the text of the scripts *names*, with the scripts that they need before them."""
    return assemble(names, lambda name: (ROOT / "host" / name).read_text("utf-8"))
