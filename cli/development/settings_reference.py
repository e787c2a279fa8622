"""`make docs`: write the settings table and the JSON schema from the settings model."""

from pathlib import Path

from broker.settings.json_schema import render_json_schema
from broker.settings.reference import render_settings_table
from cli.stack import ROOT

PAGE = ROOT / "docs" / "reference" / "settings.md"
SCHEMA = ROOT / "schema" / "stack.schema.json"
BEGIN = "<!-- settings: made by `make docs` -->\n"
END = "<!-- end of settings -->\n"


def with_table(text: str) -> str:
    """Return *text* with the current table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{render_settings_table()}\n{END}{after}"


def main(page: Path = PAGE, schema: Path = SCHEMA) -> None:
    """Write the table into the page, and the schema."""
    schema.parent.mkdir(exist_ok=True)
    schema.write_text(render_json_schema(), encoding="utf-8")
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
