"""`make access-map`: who may do what as a matrix, and who talks to whom as a map, in files."""

from pathlib import Path

from broker.access.diagram import render_mermaid, render_svg
from broker.access.graph import access_graph
from broker.access.matrix import render_matrix, render_matrix_page
from cli.exit_codes import finish
from cli.stack import Stack, arguments


def main() -> None:
    """Write four files and say where they are."""
    parser = arguments("Draw who may do what.")
    parser.add_argument("--out", type=Path, default=Path("access"), help="a folder")
    given = parser.parse_args()
    relations = access_graph(Stack.read(given.stack).settings)
    title = f"Who may do what on the broker of {given.stack}"
    files = {
        "matrix.md": render_matrix(relations),
        "matrix.html": render_matrix_page(relations, title),
        "map.mmd": render_mermaid(relations),
        "map.svg": render_svg(relations, title),
    }
    given.out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (given.out / name).write_text(text, encoding="utf-8")
        print(given.out / name)


if __name__ == "__main__":
    finish(main)
