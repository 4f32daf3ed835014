"""Reading the report's pages as a browser would, without one."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "img", "br", "hr", "input", "source", "path", "circle"}
OPTIONAL_END = {
    "td",
    "th",
    "tr",
    "li",
}  # a table of values leaves them out: the next one's beginning, or the table's end, ends them


@dataclass
class Element:
    """An element: `text` is all text in it."""

    name: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    texts: list[str | Element] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(
            "".join(part if isinstance(part, str) else f" {part.text} " for part in self.texts).split()
        )

    def all(self, name: str, **attributes: str) -> list[Element]:
        """The elements below with this name and these attributes (`class_` and `data_x` for class and
        data-x)."""
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
        found = [
            child
            for child in self.children
            if child.name == name and wanted.items() <= child.attributes.items()
        ]
        return found + [element for child in self.children for element in child.all(name, **attributes)]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        ends = {"tr": {"td", "th", "tr"}, "td": {"td", "th"}, "th": {"td", "th"}}.get(tag, set())
        while self.open[-1].name in ends:
            self.open.pop()
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        self.open[-1].texts.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        while self.open[-1].name != tag and self.open[-1].name in OPTIONAL_END:
            self.open.pop()
        assert self.open[-1].name == tag, f"</{tag}> ends <{self.open[-1].name}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].texts.append(data)


def read_page(path: Path) -> Element:
    """The page as a tree; fails where elements do not nest."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert len(reader.open) == 1, f"never ended: {reader.open[-1].name}"
    return reader.open[0]
