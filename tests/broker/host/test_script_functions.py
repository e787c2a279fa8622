"""The typed functions of the host scripts call functions that the scripts define."""

import inspect
import re
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from declared import ROOT

from broker.host import probe_functions, script_functions
from broker.settings.broker_settings import Owner

FUNCTION = re.compile(r"^([a-z_]+)\(\) \{", re.MULTILINE)
CLASSES = [
    script
    for module in (probe_functions, script_functions)
    for script in vars(module).values()
    if inspect.isclass(script) and "script" in vars(script)
]
FUNCTIONS = [
    pytest.param(script, getattr(script, name), id=f"{script.__name__}.{name}")
    for script in CLASSES
    for name, member in vars(script).items()
    if isinstance(member, staticmethod)
]


def example(hint):
    """Return a value of the type *hint*."""
    if get_origin(hint) is Literal:
        return get_args(hint)[0]
    if hint in (str, int, bool, Owner):
        return {str: "x", int: 7, bool: True, Owner: Owner(uid=1, gid=2)}[hint]
    return ["a", "b"] if get_origin(hint) is not None and "Iterable" in str(hint) else 7


def call_of(function):
    hints = get_type_hints(function)
    values = {name: example(hint) for name, hint in hints.items() if name != "return"}
    positional = [
        values.pop(name)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    return function(*positional, **values)


@pytest.mark.parametrize(("script", "function"), FUNCTIONS)
def test_script_defines_the_function(script, function):
    call = call_of(function)

    assert call.words[0] in FUNCTION.findall((ROOT / "host" / script.script).read_text("utf-8"))
    assert all(isinstance(word, str) for word in call.words)


def test_booleans_and_owners_have_the_form_that_the_scripts_read():
    guard = script_functions.PrepareReplacement.guard("digest", one_way=True)
    put = script_functions.PutFiles.put("/x", mode="0600", owner=Owner(uid=5, gid=6), text="a\n")

    assert guard.words == ("guard", "digest", "yes")
    assert (put.words, put.text) == (("put", "/x", "0600", "5", "6"), "a\n")
