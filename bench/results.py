"""What was measured, as tables: for a terminal, as JSON, and between markers of a document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.table import Table

COLUMNS = ("what", "measured", "to reach", "reached")


@dataclass(frozen=True)
class Figure:
    """One line of a table. `reached` is None where nothing is to be reached."""

    what: str
    measured: str
    reach: str = ""
    reached: bool | None = None

    def cells(self) -> tuple[str, ...]:
        """The line's texts, by column."""
        verdict = {True: "yes", False: "no", None: ""}[self.reached]
        return self.what, self.measured, self.reach, verdict


@dataclass(frozen=True)
class Result:
    """One table. `name` is its marker in a document."""

    name: str
    title: str
    figures: Sequence[Figure]
    notes: Sequence[str] = ()

    def unjudged(self) -> Result:
        """Without a word on what was reached: for runs that are too small to tell."""
        return replace(self, figures=[replace(each, reached=None) for each in self.figures])

    def followed_by(self, *figures: Figure) -> Result:
        """With more lines below."""
        return replace(self, figures=[*self.figures, *figures])

    def table(self) -> Table:
        """For a terminal."""
        table = Table(*COLUMNS, title=self.title, caption="\n".join(self.notes) or None)
        for figure in self.figures:
            table.add_row(*figure.cells())
        return table

    def markdown(self, machine: Mapping[str, str]) -> str:
        """For a document, below a line that says when, how and on what it was measured."""
        measured = ", ".join(f"{name} `{value}`" for name, value in machine.items())
        rows = [COLUMNS, ("---",) * len(COLUMNS), *(figure.cells() for figure in self.figures)]
        lines = ["| " + " | ".join(cells) + " |" for cells in rows]
        head = [f"**{self.title}**", "", f"*Measured: {measured}.*", ""]
        return "\n".join([*head, *lines, *(f"\n{note}" for note in self.notes)])


def as_data(machine: Mapping[str, str], results: Sequence[Result]) -> Mapping[str, object]:
    """All of it, for JSON."""
    return {"machine": dict(machine), "results": [asdict(result) for result in results]}


def write(document: Path, texts: Mapping[str, str]) -> None:
    """Replace what stands between `<!-- bench:name -->` and `<!-- end -->`, by name.

    ValueError for a name that the document has no place for.
    """
    text = document.read_text("utf-8")
    for name, new in texts.items():
        place = re.compile(
            rf"(?<=<!-- bench:{re.escape(name)} -->\n).*?(?=<!-- end -->)", re.DOTALL
        )
        found = place.search(text)
        if not found:
            raise ValueError(f"{document} has no place for {name}")
        text = f"{text[: found.start()]}\n{new}\n\n{text[found.end() :]}"
    document.write_text(text, "utf-8")
