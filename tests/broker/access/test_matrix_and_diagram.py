"""The matrix and the map say what the rules do, once for those who have the same access."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from broker.access.diagram import edges, render_mermaid, render_svg
from broker.access.effective_rules import effective_rules
from broker.access.evaluate import evaluate
from broker.access.graph import access_graph
from broker.access.matrix import render_matrix, render_matrix_page
from cli.stack import ROOT, Stack

HEAD = (ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8").split("  sentient-mqtt:users:")[0]
ROOMS = [f"room{number}" for number in range(12)]


def declared(
    users, *, more="  sentient-mqtt:topics: {commands: p/+/commands, status: p/+/status}\n"
):
    text = f"{HEAD}  sentient-mqtt:users:\n{users}{more}"
    return Stack.parse("dev", ROOT / "Pulumi.dev.yaml", text).settings


PROD = Stack.read("prod").settings


def extents(settings):
    relations = access_graph(settings)
    return {
        party.name: {
            (branch.name, direction): party.extent(branch, direction)
            for branch in relations.branches
            for direction in ("read", "write")
            if party.extent(branch, direction) != "none"
        }
        for party in relations.parties
    }


def test_prod_is_drawn_as_it_is():
    found = extents(PROD)

    assert found["paragon_devices"] == {
        ("commands", "read"): "all",
        ("sensors", "write"): "all",
        ("status", "write"): "all",
        ("events", "write"): "all",
    }
    # '#' reaches beyond the tree, and not into $SYS.
    assert found["admin"][("elsewhere", "write")] == "all"
    assert ("$SYS", "read") not in found["admin"]
    assert found["sentient_monitor_prod"][("$SYS", "read")] == "all"
    assert "healthcheck" not in str(found)


def test_each_extent_is_what_the_verdicts_say():
    relations = access_graph(PROD)
    everybody = effective_rules(PROD)
    for party in relations.parties:
        for name in party.members:
            for branch in relations.branches[:4]:
                topic = branch.filter.replace("+", "x").replace("#", "y")
                for direction, action in (("read", "receive"), ("write", "publish")):
                    drawn = party.extent(branch, direction) != "none"
                    assert evaluate(everybody[name], action, topic).allowed == drawn


def test_a_denial_makes_all_some_and_some_none():
    reads = "    a: {read: ['p/#']}\n"
    assert extents(declared(reads))["a"][("status", "read")] == "all"

    some = extents(declared("    a: {read: ['p/#'], deny: ['p/x/status']}\n"))["a"]
    none = extents(declared("    a: {read: ['p/#'], deny: ['p/+/status']}\n"))["a"]

    assert some[("status", "read")] == "some"
    assert ("status", "read") not in none


def test_a_pattern_is_in_it():
    pattern = "  sentient-mqtt:patterns: {write: ['p/%u/status']}\n"
    found = extents(
        declared(
            "    a: {read: ['p/+/commands']}\n",
            more=f"{pattern}  sentient-mqtt:topics: {{status: p/+/status}}\n",
        )
    )

    assert found["a"][("status", "write")] == "some"


def test_sixty_users_are_few_boxes_and_a_fleet_is_one():
    users = "".join(f"    {each}_display: {{read: ['p/{each}/status']}}\n" for each in ROOMS)
    users += "".join(
        f"    {each}_ctl{number}: {{write: ['p/{each}/status'], read: ['p/{each}/commands']}}\n"
        for each in ROOMS
        for number in range(4)
    )
    fleet = "  sentient-mqtt:fleets: {teensy: {count: 40, prefix: t-, write: ['p/%u/status']}}\n"
    relations = access_graph(
        declared(
            users,
            more=f"{fleet}  sentient-mqtt:topics: {{commands: p/+/commands, status: p/+/status}}\n",
        )
    )

    assert [each.name for each in relations.parties] == [
        "room0_display and 11 alike",
        "room0_ctl0 and 47 alike",
        "fleet teensy (40)",
    ]
    assert "room7_ctl3" in render_matrix_page(relations, "t")


def test_without_a_tree_the_widest_filters_are_the_branches():
    found = access_graph(declared("    a: {read: ['p/#', 'p/x'], write: ['q/+']}\n", more=""))

    assert [each.name for each in found.branches] == ["p/#", "q/+", "elsewhere"]


@pytest.mark.parametrize("title", ["plain", "<script>&\"'"])
def test_svg_and_html_are_well_formed_and_alone(title):
    relations = access_graph(PROD)
    svg, page = render_svg(relations, title), render_matrix_page(relations, title)

    root = ET.fromstring(svg)  # noqa: S314 (our own text)
    HTMLParser().feed(page)

    writes, reads = edges(relations)
    assert len(root.findall("{http://www.w3.org/2000/svg}path")) == len(writes) + len(reads)
    for text in (svg, page):
        assert "<script" not in text
        assert not re.search(r"(?:src|href|url\()", text)


def test_the_mermaid_text_keeps_to_its_grammar():
    text = render_mermaid(access_graph(PROD))

    head, *lines = text.splitlines()
    assert head == "flowchart LR"
    node = r'  [wr]\d+\["[^"]*"\]|  t\d+\(\["[^"]*"\]\)'
    edge = r"  w\d+ (?:-->|-\.->) t\d+|  t\d+ (?:-->|-\.->) r\d+"
    assert all(re.fullmatch(f"{node}|{edge}", line) for line in lines)
    assert '(["#36;SYS"])' in text


def test_the_markdown_has_a_row_a_party():
    relations = access_graph(PROD)

    assert len(render_matrix(relations).splitlines()) == 2 + len(relations.parties)
    assert "| `paragon_devices` | reads | writes | writes | writes |" in render_matrix(relations)
