"""A reverted change allows what both versions allow, compared with the evaluator."""

import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from declared import smallest
from host_scripts import host_scripts
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.access.evaluate import evaluate
from broker.access.rules import Principal, Rule
from broker.access.topic_filters import includes
from broker.mosquitto.acl_file import render_acl
from broker.settings.stack_settings import Settings

AWKS = {"mawk": "mawk", "BusyBox": "busybox awk"}


@pytest.fixture(scope="module", params=AWKS.values(), ids=AWKS)
def awk(request, tmp_path_factory):
    """Return a folder with one awk implementation under the name ``awk``."""
    folder = tmp_path_factory.mktemp("awk")
    assert shutil.which(request.param.split()[0]), (
        f"{request.param}: cli/development/test_suite.py installs it"
    )
    (folder / "awk").write_text(f'#!/bin/sh\nexec {request.param} "$@"\n', encoding="utf-8")
    (folder / "awk").chmod(0o755)
    return folder


def of_both(awk, function, old, new, *names):
    """Call one function of host/lib/narrower_access.sh on two texts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "old").write_text(old, encoding="utf-8")
        (folder / "new").write_text(new, encoding="utf-8")
        done = subprocess.run(
            ["sh", "-s", folder / "old", folder / "new", *names],
            input=host_scripts("lib/narrower_access.sh") + f'{function} "$@"\n',
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PATH": f"{awk}:{os.environ['PATH']}"},
        )
    return done.stdout


def rules_of_both(awk, old, new):
    return of_both(awk, "rules_of_both", old, new)


# A second parser of ACL files, so that only broker/access/evaluate.py decides what a text allows.
def principals(text, users):
    """Return *users* with their rules of an ACL file; a user may have no block in it."""
    blocks, patterns, user = {"": [], **{name: [] for name in users}}, [], ""
    for line in filter(None, text.splitlines()):
        kind, _, rest = line.partition(" ")
        if kind == "user":
            user = rest
            blocks.setdefault(user, [])
        elif kind in ("topic", "pattern"):
            access, _, filter_ = rest.partition(" ")
            rule = Rule(kind=kind, access=access, filter=filter_)
            (patterns if kind == "pattern" else blocks[user]).append(rule)
    return {
        name: Principal(name=name, topics=tuple(topics), patterns=tuple(patterns))
        for name, topics in blocks.items()
    }


LEVELS = ("a", "b", "u1", "$x", "")
TOPICS = [
    "/".join(levels)
    for length in (1, 2, 3)
    for levels in itertools.product(LEVELS, repeat=length)
    if any(levels)
]
USERS = ("u1", "u2", "stranger")
VERSIONS = ("2.0", "2.1")
CLIENT_IDS = ("u1", "a/b", "$x")


def allowed(text, users=USERS):
    """Return all that an ACL file allows, over a small alphabet, in both release lines."""
    known = principals(text, users)
    found = set()
    for user, action, version in itertools.product(users, ("publish", "receive"), VERSIONS):
        principal = known[user]
        # The release lines differ only in patterns, and only `%c` depends on the client id.
        if not principal.patterns and version != VERSIONS[0]:
            found |= {(*rest, version) for *rest, of in found if of == VERSIONS[0]}
            continue
        apart = any("%c" in rule.filter for rule in principal.patterns)
        for topic, client_id in itertools.product(TOPICS, CLIENT_IDS[: None if apart else 1]):
            if evaluate(principal, action, topic, client_id=client_id, version=version).allowed:
                alike = (client_id,) if apart else CLIENT_IDS
                found |= {(user, action, topic, same_id, version) for same_id in alike}
    return found


def filters(*levels):
    inner = st.lists(st.sampled_from(levels), min_size=1, max_size=3)
    tail = st.booleans()
    return st.builds(
        lambda found, open_: "/".join([*found, *(["#"] if open_ else [])]), inner, tail
    )


ACCESSES = st.sampled_from(("read", "write", "readwrite", "deny"))
TOPIC_RULES = st.builds(
    "topic {} {}".format, ACCESSES, filters("a", "", "+", "$x", "u1").filter(bool) | st.just("#")
)
PATTERN_RULES = st.builds(
    "pattern {} {}".format,
    ACCESSES,
    filters("a", "", "+", "%u", "%c", "u1").filter(bool) | st.just("#"),
)
BLOCKS = st.lists(
    st.tuples(st.sampled_from(USERS[:2]), st.lists(TOPIC_RULES, max_size=3)), max_size=3
)


def text_of(blocks, patterns):
    lines = [line for user, rules in blocks for line in (f"user {user}", *rules)]
    return "".join(f"{line}\n" for line in [*patterns, *lines])


ACLS = st.builds(text_of, BLOCKS, st.lists(PATTERN_RULES, max_size=2))


@settings(max_examples=25)
@given(old=ACLS, new=ACLS)
def test_result_is_within_the_old_and_the_new_version(awk, old, new):
    both = allowed(rules_of_both(awk, old, new))

    assert both <= allowed(old)
    assert both <= allowed(new)


@settings(max_examples=25)
@given(data=st.data(), wide=ACLS)
def test_result_of_a_pure_revocation_is_the_new_version(awk, data, wide):
    narrow = narrowed(data, wide)

    assert allowed(rules_of_both(awk, wide, narrow)) == allowed(narrow)


@settings(max_examples=25)
@given(data=st.data(), wide=ACLS)
def test_result_of_a_pure_grant_is_the_old_version(awk, data, wide):
    narrow = narrowed(data, wide)

    assert allowed(rules_of_both(awk, narrow, wide)) == allowed(narrow)


def narrowed(data, text):
    """Take rules out of *text*, narrow some that stay, and add denials."""
    lines = []
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "user":
            lines.append(line)
            continue
        access, _, filter_ = rest.partition(" ")
        how = data.draw(st.sampled_from(("keep", "keep", "drop", "access", "filter")))
        if access == "deny":
            how = "keep"
        if how == "access" and access == "readwrite":
            access = data.draw(st.sampled_from(("read", "write")))
        inner = filter_.replace("+", "a").replace("#", "b")
        if how == "filter" and includes(filter_, inner):
            filter_ = inner
        if how != "drop":
            lines.append(f"{kind} {access} {filter_}")
        if access != "deny" and data.draw(st.booleans()):
            lines.append(f"{kind} deny {inner}")
    return "".join(f"{line}\n" for line in lines)


def test_user_in_one_version_only_keeps_what_patterns_allow(awk):
    pattern = "pattern readwrite inbox/%u/#\n"
    old = "user gone\ntopic readwrite #\nuser stays\ntopic read a\n" + pattern
    new = "user stays\ntopic read a\nuser comes\ntopic readwrite #\ntopic deny inbox/#\n" + pattern
    both = rules_of_both(awk, old, new)

    users = ("gone", "stays", "comes")
    topics = {(user, topic) for user, _, topic, _, _ in allowed(both, users) if "$" not in topic}
    assert topics == {("stays", "a")}
    # A denial stays in the block of its user.
    assert "user comes\ntopic deny inbox/#\n" in both


def test_rendered_rules_are_parsed(awk):
    def acl(**users):
        return render_acl(Settings.parse(smallest() | {"users": users}))

    old = acl(sensor={"write": ["a/#"], "read": ["b/+"]}, gone={"read": ["#"]})
    new = acl(sensor={"write": ["a/b"], "read": ["b/+", "c"]}, comes={"read": ["#"]})
    both = rules_of_both(awk, old, new)

    assert "user sensor\ntopic read b/+\ntopic write a/b\n" in both
    assert "user healthcheck\ntopic read $SYS/broker/uptime\n" in both
    assert "topic deny sentient-mqtt/denied\n" in both
    assert "topic read #" not in both


@pytest.mark.parametrize(
    ("old", "new", "both"),
    [
        ("topic a/#", "topic readwrite a/b", "topic readwrite a/b"),
        ("topic read a/b c", "topic readwrite a/b c", "topic read a/b c"),
        ("  topic   read   a  \r", "topic read a", "topic read a"),
        ("topic read", "topic read #", "topic read read"),
        ("topic /a/#", "topic read /a//b", "topic read /a//b"),
        ("topic read a/#", "topic read /a/#", None),
        ("topic read a/", "topic read a", None),
        ("topic read a//b", "topic read a/b", None),
        ("topic slip a", "topic slip a", ""),
        ("# topic read a", "# topic read a", ""),
    ],
)
def test_lines_are_parsed_as_mosquitto_parses_them(awk, old, new, both):
    found = rules_of_both(awk, f"user u\n{old}\n", f"user u\n{new}\n")

    rules = "user u\n" if both is None else f"user u\n{both}\n"
    assert found == rules * (both != "")


def test_rules_before_the_first_user_stay_before_it(awk):
    """They apply to clients without a login; below a user they would be that user's."""
    text = "topic read lobby\nuser u\ntopic read a\n"

    assert rules_of_both(awk, text, text) == text


@pytest.mark.parametrize("place", ["old", "new"])
def test_empty_version_keeps_only_denials(awk, place):
    text = "user u\ntopic read a\ntopic deny b\n"
    texts = ("", text) if place == "old" else (text, "")

    assert rules_of_both(awk, *texts) == "user u\ntopic deny b\n"


def test_logins_are_those_of_both_with_the_new_hash(awk):
    old = "gone:1\nstays:1\nrotated:old\ncanary:old\nhealth-before:1\n"
    new = "comes:1\nrotated:new\nstays:1\ncanary:new\nhealth:1\n"

    found = of_both(awk, "logins_of_both", old, new, "canary", "health")

    assert found == "rotated:new\nstays:1\nhealth:1\n"
    assert of_both(awk, "logins_of_both", "", new, "canary", "health") == "health:1\n"


def test_stamps_mark_neither_version(awk):
    found = of_both(
        awk, "stamps_of_both", ":rules 1\ngone 1\nstays 1\n", ":rules 2\ncomes 1\nstays 2\n", "mark"
    )

    assert found == ":rules mark\nstays 2\n"
