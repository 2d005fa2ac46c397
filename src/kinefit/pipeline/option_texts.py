"""What is said of an option: the text below its field, in the source of its class.

pydantic can read these texts, too, and takes a tenth of a second for the models of `kinefit run`:
it looks for each class in the file anew.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel


def text_of(model: type[BaseModel], name: str) -> str:
    """Of the field `name`: its description or the text below it; KeyError where it has neither, ""
    where the source is not there (installations of compiled files alone)."""
    if said := model.model_fields[name].description:
        return said
    classes = (cls for cls in model.__mro__ if cls is not object)
    try:
        found = (_texts(cls.__module__).get((cls.__name__, name)) for cls in classes)
        text = next(filter(None, found), None)
    except OSError:
        return ""
    if text is None:
        raise KeyError(f"{model.__name__}.{name} has no text")
    return text


@cache
def _texts(module: str) -> dict[tuple[str, str], str]:
    """(class, field) -> the text below, of the classes of a module that is loaded."""
    found = {}
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    for one in (part for part in tree.body if isinstance(part, ast.ClassDef)):
        for field, below in pairwise(one.body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                found[one.name, field.target.id] = inspect.cleandoc(str(below.value.value))
    return found
