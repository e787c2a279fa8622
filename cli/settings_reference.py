"""`make docs`: the page of settings holds the model's table."""

from pathlib import Path

from broker.settings.reference import render_settings_table
from cli.stack import ROOT

PAGE = ROOT / "docs" / "reference" / "settings.md"
BEGIN = "<!-- settings: made by `make docs` -->\n"
END = "<!-- end of settings -->\n"


def with_table(text: str) -> str:
    """Return *text* with the table of today between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{render_settings_table()}\n{END}{after}"


def main(page: Path = PAGE) -> None:
    """Write the table into the page."""
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
