"""XML of a stranger: elements and attributes, and nothing that can grow or reach out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from kinefit.types import InputError

_MAX_DEPTH = 32
_MAX_ELEMENTS = 100_000


@dataclass
class Element:
    """An element; text between elements is not kept."""

    tag: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)

    def child(self, tag: str) -> Element | None:
        """The first child of that name."""
        return next((c for c in self.children if c.tag == tag), None)

    def every(self, tag: str) -> Iterator[Element]:
        """All descendants of that name, in the file's order."""
        for child in self.children:
            if child.tag == tag:
                yield child
            yield from child.every(tag)


def parse_xml(path: Path, content: bytes) -> Element:
    """The root element.

    Raises InputError for a document type or an entity of its own (with which a small file can
    become gigabytes, or read others), for more than 32 levels, and for damage.
    """
    root = Element("", {})
    stack = [root]
    count = 0

    def refuse(*_: object) -> NoReturn:
        reason = "declares a document type or entities, which no calibration needs"
        raise InputError(path, reason, "export it again")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(stack) > _MAX_DEPTH or count > _MAX_ELEMENTS:
            raise InputError(path, "is too large or too deep a tree", "name a calibration file")
        element = Element(tag, attributes)
        stack[-1].children.append(element)
        stack.append(element)

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise InputError(path, f"is damaged XML ({error})", "export it again") from error
    return root.children[0]
