"""What commands share: options of a model, progress, results, and errors with exit code 2."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from kinefit.cli.help import show_all
from kinefit.cli.option_groups import Layout
from kinefit.pipeline.option_texts import text_of
from kinefit.types import Finding, KinefitError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console
    from rich.progress import TaskID
    from rich.table import Table

    from kinefit.pipeline.run_result import RunResult


class Stream:
    """Standard output, or standard error, through rich, which no page of options waits for.

    Names of files and cameras are other people's: nothing that is printed is markup or emoji codes.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        self._stderr = stderr

    @cached_property
    def console(self) -> Console:
        from rich.console import Console

        return Console(stderr=self._stderr, highlight=False, soft_wrap=True, markup=False,
                       emoji=False)  # fmt: skip

    def print(self, what: object = "", **how: Any) -> None:
        """As rich's `Console.print`."""
        self.console.print(what, **how)


out, err = Stream(), Stream(stderr=True)

USAGE_ERROR = 2
INTERRUPTED = 130  # as shells say it: 128 + SIGINT
STOPPED = "Stopped. What was finished is kept. Next: the same command goes on where it was."


@contextmanager
def errors_exit() -> Iterator[None]:
    """Turn a KinefitError, or a failure of the disk, into its message on stderr and exit code 2."""
    try:
        yield
    except KinefitError as error:
        message = str(error)
    except KeyboardInterrupt:
        err.print(STOPPED)
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:  # what the disk refuses while reading or writing
        reason = f"{error.filename or 'the disk'}: {error.strerror or error}"
        message = f"{reason}. Next: check that the folder can be written and has room."
    else:
        return
    _tell("error", "bold red", message)
    raise typer.Exit(USAGE_ERROR)


def _tell(word: str, color: str, text: object) -> None:
    err.print(f"{word}:", style=color, end=" ")
    err.print(str(text))


def new_table(*columns: str, **how: Any) -> Table:
    """To be filled row by row and printed; columns: their titles."""
    from rich.table import Table

    return Table(*columns, **how)


def show_warnings(warnings: Iterable[str]) -> None:
    """A line on stderr for each."""
    for warning in warnings:
        _tell("warning", "yellow", warning)


def show_notes(notes: Iterable[str]) -> None:
    """A line on stderr for each: what to know, nothing to worry about."""
    for note in notes:
        _tell("note", "dim", note)


def show_files(files: Iterable[Path | str]) -> None:
    """A line on stdout for each."""
    for file in files:
        out.print(str(file))


_LEVELS = {
    "information": ("note", "dim"),
    "caution": ("caution", "yellow"),
    "refusal": ("unusable", "red"),
}


def show_findings(findings: Iterable[Finding]) -> None:
    """A line on stderr for each."""
    for finding in findings:
        _tell(*_LEVELS[finding.level], finding)


def show_result(result: RunResult) -> None:
    """Verdict and findings of a run on stderr, its files on stdout."""
    if result.verdict:
        err.print(f"verdict: {result.verdict}")
    show_findings(result.findings)
    out.print(f"{result.folder}")
    for name, about in result.files:
        out.print(f"  {name:<44} {about}")
    if any(name == "viewer.html" for name, _ in result.files):
        command = shlex.join(["kinefit", "view", str(result.folder)])
        err.print(f"Next: {command}  (the viewer; report.html says what to trust)")


@contextmanager
def stage_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Progress on stderr while the block runs: a line per stage, with a bar where the number of
    steps is known."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    what = SpinnerColumn(finished_text="✓"), TextColumn("{task.description}", markup=False)
    columns = (*what, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=err.console) as shown:

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = shown.add_task(stage, total=total or None)
            shown.update(tasks[stage], completed=done, total=total or None)

        yield tell


Command = Callable[..., None]
OutFolder = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for the results.", rich_help_panel="Output"),
]
Up = Annotated[
    str | None,
    typer.Option(help="Vertical axis of the file (Z, -Y, ...), whatever it says; else checked."),
]
Units = Annotated[
    Literal["m", "cm", "mm"] | None,
    typer.Option(help="Unit of the file's numbers, whatever it says; else checked."),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Remove the results of another video first.", rich_help_panel="Output"
    ),
]
_HelpAll = Annotated[
    bool,
    typer.Option("--help-all", is_eager=True, callback=show_all, help="Show all options."),
]


def with_options(
    model: type[BaseModel], layout: Layout | None = None
) -> Callable[[Command], Command]:
    """A decorator: replaces the `**options` of a command by one typer option per field.

    The command gets those that were given, so that a configuration file can supply the others.
    layout: in which groups --help shows them.
    """
    shown = layout or Layout()

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_given(**values: Any) -> None:
            absent = [n for n, v in values.items() if v is None and n in model.model_fields]
            absent.append(_help_all.name)
            command(**{name: value for name, value in values.items() if name not in absent})

        signature = inspect.signature(command, eval_str=True)
        parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        order = sorted(model.model_fields, key=shown.order)
        parameters += [_parameter(model, name, shown) for name in order]
        parameters.append(_help_all)
        with_given.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        with_given.__annotations__ = {p.name: p.annotation for p in parameters}
        return with_given

    return decorate


_help_all = inspect.Parameter(
    "help_all", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_HelpAll
)


def _parameter(model: type[BaseModel], name: str, layout: Layout) -> inspect.Parameter:
    field = model.model_fields[name]
    shown: str | bool = str(field.default)
    if field.is_required() or field.default is None or field.default is False:
        shown = False
    elif field.default is True:
        shown = "on"
    needed = " [required]" if name in layout.required else ""
    option = typer.Option(
        help=f"{text_of(model, name)}{needed}",
        show_default=shown,
        rich_help_panel=layout.title(name),
        metavar=layout.kinds.get(name),
    )
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
