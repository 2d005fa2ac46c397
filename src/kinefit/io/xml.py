"""XML of a stranger: elements and attributes, and nothing that can grow or reach out."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from kinefit.types import InputError

MOST_DEPTH = 64  # OpenSim's models have up to 20 levels
_MOST_ELEMENTS = 1_000_000  # the largest OpenSim model at hand has 150,000


def parse_xml(
    path: Path, content: bytes, *, most_depth: int = MOST_DEPTH, most: int = _MOST_ELEMENTS
) -> Element:
    """The root element.

    Raises InputError for a document type or an entity of its own (with which a small file can
    become gigabytes, or read others), for more than `most_depth` levels or `most` elements, and
    for damage.
    """
    parser = DefusedXMLParser(target=_Bounded(path, most_depth, most), forbid_dtd=True)
    try:
        parser.feed(content)
        root = parser.close()
    except DefusedXmlException as error:
        reason = "declares a document type or entities, which no such file needs"
        raise InputError(path, reason, "export it again") from error
    except (ParseError, ValueError, LookupError) as error:
        raise InputError(path, f"is damaged XML ({error})", "export it again") from error
    return root


class _Bounded(TreeBuilder):
    """Builds the tree until it is too deep or too large."""

    def __init__(self, path: Path, most_depth: int, most: int) -> None:
        super().__init__()
        self._path, self._most_depth, self._left = path, most_depth, most
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._depth += 1
        self._left -= 1
        if self._depth > self._most_depth or self._left < 0:
            raise InputError(self._path, "is too large or too deep a tree", "check the file")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(tag)
