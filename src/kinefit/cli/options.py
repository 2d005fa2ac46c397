"""Every field of an options model as a command-line option: one list of names and help."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

Command = Callable[..., None]


def with_options(*models: type[BaseModel]) -> Callable[[Command], Command]:
    """A decorator: replaces the `**options` of a command by one typer option per field.

    An option that was not given arrives as None, so that a configuration file can supply it.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        kept = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        fields = {n: f for model in models for n, f in model.model_fields.items()}
        added = [_parameter(name, field) for name, field in fields.items()]
        parameters = kept + added
        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    option = typer.Option(help=field.description, show_default=_default_text(field))
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[_plain_type(field.annotation) | None, option],
    )


def _plain_type(annotation: Any) -> Any:
    """The bare type behind Optional and Annotated: what typer can parse."""
    origin = get_origin(annotation)
    if origin is None or origin is Literal:
        return annotation
    return _plain_type(get_args(annotation)[0])


def _default_text(field: FieldInfo) -> str | bool:
    if field.is_required() or field.default is None:
        return False
    return str(field.default)
