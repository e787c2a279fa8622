"""Find the programs that a Python file of the tests or benchmarks starts, by its text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

STARTERS = {
    *(f"subprocess.{name}" for name in ("run", "Popen", "call", "check_call", "check_output")),
    *("progress.run", "shutil.which", "asyncio.create_subprocess_exec", "os.execvp"),
}
"""Their first argument is an argv or a name."""

WORDS = {"_run", "lab.run", "server.run", "self.lab.run"}
"""Functions of the tests whose arguments are an argv; ``run`` of a class with ``inside``, too."""

NAME = re.compile(r"(?:/[a-z0-9/._-]+/)?([a-zA-Z][\w.+-]*)")
OPTION = re.compile(r"--?[a-zA-Z]")
WITHIN = {"nsenter", "setpriv", "unshare", "env", "sudo", "timeout", "chroot"}
"""Programs that start another one: an argv follows their ``--``."""

BEGINS = re.compile(
    r"(?:^|[;&|({]|\$\()[ \t]*(?:(?:then|do|else|exec|if|elif|while|until|!)[ \t]+)*"
    r"([a-zA-Z_][\w.+-]*)(?=[\s;)&|]|$)"
)
SHELLS = {"sh", "bash", "dash", "/bin/sh"}
FUNCTION = re.compile(r"^\s*(\w+)\(\) *[{(]", re.MULTILINE)
SINGLE_QUOTED = re.compile(r"'[^']*'")
ARITHMETIC = re.compile(r"\$\(\(.*?\)\)")
CASE_PATTERN = re.compile(r"(?<=\n)[ \t]*[^\n()]*\)|\bin [^\n()]*\)|;; [^\n();]*\)")
HERE_DOCUMENT = re.compile(r"<<-?'?(\w+)'?\n.*?\n\1\n", re.DOTALL)


def started(source: str, *, lists: bool = True) -> set[tuple[str, int]]:
    """
    Return the name and the line of every program that *source* starts.

    Without *lists*, a list with options is not an argv: tests of commands have such lists.
    """
    tree = ast.parse(source)
    return {(name, line) for name, line in _all(tree, lists=lists) if name}


def _all(tree: ast.Module, *, lists: bool) -> Iterator[tuple[str, int]]:
    documentation = _documentation(tree)
    values = _values(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for name in _of_call(node, values):
                yield name, node.lineno
        if lists and isinstance(node, ast.List | ast.Tuple):
            for name in _of_words(node.elts, values, needs_option=True):
                yield name, node.lineno
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            whole = node.value.startswith("#!/bin/sh") or "\nset -eu\n" in node.value
            if whole and id(node) not in documentation:
                for name in in_shell(node.value):
                    yield name, node.lineno


def _of_call(node: ast.Call, values: dict[str, list[ast.expr]]) -> Iterator[str]:
    function = ast.unparse(node.func)
    if function in STARTERS and node.args:
        for argument in _resolved(node.args[0], values):
            if isinstance(argument, ast.List | ast.Tuple):
                yield from _of_words(argument.elts, values)
            elif text := _text(argument):
                yield _name(text)
    elif function in WORDS:
        yield from _of_words(node.args, values)


def _of_words(
    words: Iterable[ast.expr], values: dict[str, list[ast.expr]], *, needs_option: bool = False
) -> Iterator[str]:
    """Yield the first word, and the programs that it starts if it is of ``WITHIN`` or a shell."""
    flat = list(_flat(words, values))
    texts = [_text(word) for word in flat]
    while texts and texts[0] is None and isinstance(flat[len(flat) - len(texts)], ast.Starred):
        texts = texts[1:]
    if not texts or texts[0] is None:
        return
    if needs_option and not any(text and OPTION.match(text) for text in texts[1:]):
        return
    yield _name(texts[0])
    if _name(texts[0]) in WITHIN and "--" in texts:
        after = texts[texts.index("--") + 1 :]
        if after and after[0]:
            yield _name(after[0])
    for shell, option, script in zip(texts, texts[1:], texts[2:], strict=False):
        if shell in SHELLS and option == "-c" and script:
            yield from in_shell(script)
    if texts[:3] == ["ip", "netns", "exec"]:
        yield from (_name(text) for text in texts[4:5] if text)


def in_shell(script: str) -> Iterator[str]:
    """Yield the first word of every command in *script*, except its functions."""
    for pattern in (HERE_DOCUMENT, SINGLE_QUOTED, ARITHMETIC):
        script = pattern.sub("", script)
    functions = set(FUNCTION.findall(script))
    bare = CASE_PATTERN.sub("\n", FUNCTION.sub("\n{", script))
    for line in re.sub(r"\\\n", " ", bare).splitlines():
        text = "" if line.lstrip().startswith("#") else line
        yield from (name for name in BEGINS.findall(text) if name not in functions)


def _flat(words: Iterable[ast.expr], values: dict[str, list[ast.expr]]) -> Iterator[ast.expr]:
    for word in words:
        if isinstance(word, ast.Starred):
            inner = next(iter(_resolved(word.value, values)), word.value)
            if isinstance(inner, ast.List | ast.Tuple):
                # Without the name itself, because of `words = [*words, more]`.
                name = ast.unparse(word.value)
                yield from _flat(inner.elts, {key: values[key] for key in values if key != name})
                continue
        yield word


def _resolved(node: ast.expr, values: dict[str, list[ast.expr]]) -> list[ast.expr]:
    if isinstance(node, ast.Name):
        return values.get(node.id, [])
    if isinstance(node, ast.BinOp):
        return _resolved(node.left, values)
    return [node]


def _values(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """Return every list and tuple that is assigned to a name in the file."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List | ast.Tuple):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(node.value)
    return found


def _documentation(tree: ast.Module) -> set[int]:
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(value.value) if isinstance(value, ast.Constant) else "$x" for value in node.values
        )
    return None


def _name(text: str) -> str:
    found = NAME.fullmatch(text)
    return found[1] if found else ""
