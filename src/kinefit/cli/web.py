"""`kinefit web`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kinefit.cli.console import err


def web(
    folder: Annotated[
        Path, typer.Option(help="Where uploads, results and the database lie.")
    ] = Path("kinefit_web"),
    host: Annotated[
        str, typer.Option(help="Address to listen on; people log in on any but this machine's own.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(min=0, help="Runs that are computed at once.")] = 1,
    names: Annotated[
        str,
        typer.Option(help="Names under which others ask for it, with commas; people log in then."),
    ] = "",
    accounts: Annotated[
        bool, typer.Option("--accounts", help="People log in, also on this machine.")
    ] = False,
    tls: Annotated[
        bool, typer.Option("--tls", help="Behind a proxy that speaks TLS (X-Forwarded-Proto).")
    ] = False,
    add_user: Annotated[
        str | None, typer.Option(help="Make a user who may log in (asks for a password), and end.")
    ] = None,
) -> None:
    """A web site for projects, uploads, runs and results, on this machine or for others."""
    from kinefit.web import server

    server.prepare(folder, host=host, names=names, accounts=accounts, tls=tls)
    if add_user is not None:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        server.add_user(add_user, password)
        err.print(f"{add_user} may log in.")
        return
    shown = f"[{host}]" if ":" in host else host
    err.print(f"http://{shown}:{port}  (Ctrl-C ends it; files in {folder})")
    server.serve(host, port, workers)
