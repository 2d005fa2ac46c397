"""How `--help` looks: options in groups, what is needed first, the rest behind `--help-all`.

Plain text without boxes: it stays readable in 80 columns, and needs no library but typer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

MORE = "more"  # begins the titles of groups that only --help-all shows
_KINDS = {"<float>": "NUMBER", "<int>": "N", "<str>": "TEXT", "<path>": "PATH",
          "<int range>": "N", "<float range>": "NUMBER"}  # fmt: skip
_FIRST_COLUMN = 28
_LONG = 500  # characters: short helps are not cut


class _Page:
    """The options of a command or group of commands, on its help page."""

    params: list[Any]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        whole = bool(ctx.meta.get(MORE))
        groups: dict[str, list[tuple[str, str]]] = {}
        left_out = False
        for param in self.get_params(ctx):  # type: ignore[attr-defined]
            title = _title(param)
            if title.startswith(MORE) and not whole:
                left_out = True
            elif not getattr(param, "hidden", False):
                groups.setdefault(title.removeprefix(MORE).strip(), []).append(_row(param, ctx))
        for title in sorted(groups, key=_place):
            with formatter.section(title):
                formatter.write_dl(groups[title], col_max=_FIRST_COLUMN, col_spacing=2)
        if left_out:
            formatter.write_paragraph()
            formatter.write_text(f"All options: {ctx.command_path} --help-all")


def _title(param: Any) -> str:
    if param.param_type_name == "argument":
        return "Arguments"
    if getattr(param, "rich_help_panel", None):
        return str(param.rich_help_panel)
    if param.name in ("help", "help_all", "version", "install_completion", "show_completion"):
        return "Help"
    return "Options"


def _place(title: str) -> int:
    """Arguments first, then options as they come, what is written, and help last."""
    return {"Arguments": -1, "Output": 1, "Help": 2}.get(title, 0)


def _row(param: Any, ctx: Any) -> tuple[str, str]:
    """Names of an option, and what it is, in words."""
    text = (param.help or "").strip()
    if param.required:
        text = f"{text} [required]"
    elif default := _default(param, ctx):
        text = f"{text} [default: {default}]"
    if param.param_type_name == "argument":
        return param.make_metavar(ctx) if hasattr(param, "make_metavar") else param.name, text
    if param.is_flag:
        on = param.secondary_opts if _default(param, ctx) == "on" else []
        return ", ".join(sorted((*param.opts, *on), key=len)), text
    return f"{', '.join(param.opts)} {_kind(param, ctx)}".strip(), text


def _default(param: Any, ctx: Any) -> str:
    """As it is typed; empty where there is none to tell."""
    if isinstance(param.show_default, str):
        return str(param.show_default)
    value = param.get_default(ctx, call=False)
    if value in (None, "", (), []) or isinstance(value, bool):
        return ""
    return str(value)


def _kind(param: Any, ctx: Any) -> str:
    names, _ = param.get_help_record(ctx)
    kind = str(names).partition(" ")[2].replace("<list[Path]>", "<path>")
    return _KINDS.get(kind, kind.strip("<>"))


class Command(_Page, TyperCommand):
    """One command."""


class Commands(_Page, TyperGroup):
    """A command that has commands of its own."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _Page.format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl([(n, c.get_short_help_str(_LONG)) for n, c in commands.items() if c])


class App(typer.Typer):
    """An application, or a part of one, whose commands have such pages."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("cls", Commands)
        settings.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(rich_markup_mode=None, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        settings.setdefault("cls", Command)
        return super().command(name, **settings)


def show_all(context: typer.Context, value: bool) -> None:
    """Callback of --help-all."""
    if value:
        context.meta[MORE] = True
        typer.echo(context.get_help())
        raise typer.Exit
