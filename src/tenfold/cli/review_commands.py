"""`tenfold review`: serve the page on which people judge images; invite and revoke them; status and export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.cli import session
from tenfold.cli.options import Debug, Json, Place, Quiet

if TYPE_CHECKING:
    from tenfold.cli.console import Console
    from tenfold.recipes.reviewing import ServedPage

app = typer.Typer(
    no_args_is_help=True,
    help="People judge the synthetic images: serve the page, invite reviewers, see how far they are, export.",
)

_SERVE_EXAMPLES = """[bold]Examples[/bold]

tenfold review serve lesions

tenfold review serve lesions --set "sets=\\[main]" --set overlap_fraction=1

tenfold review serve lesions --remote --certfile host.pem --keyfile host.key --address https://review.clinic.org:8765

tenfold review serve lesions --behind-proxy --address https://review.clinic.org
"""
_INVITE_EXAMPLES = """[bold]Examples[/bold]

tenfold review invite "Dr Rao" -w lesions

tenfold review invite "Prof Lind" -w lesions --role adjudicator --days 30
"""

Workspace = Annotated[Path, typer.Argument(metavar="WORKSPACE", help="The folder of the images.", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The person's name, as results show it.", show_default=False)]


@app.command("serve", epilog=_SERVE_EXAMPLES)
def serve(
    workspace: Workspace,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; this machine alone when not given.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8765,
    remote: Annotated[
        bool, typer.Option("--remote", help="Let other machines in. Needs --certfile and --keyfile.")
    ] = False,
    certfile: Annotated[Path | None, typer.Option("--certfile", metavar="PEM", help="TLS certificate chain.")] = None,
    keyfile: Annotated[Path | None, typer.Option("--keyfile", metavar="PEM", help="The certificate's key.")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy speaks TLS and sends X-Forwarded-Proto. Needs --address.")
    ] = False,
    address: Annotated[
        str | None, typer.Option("--address", metavar="URL", help="What reviewers type: https://HOST[:PORT].")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A=B", help="A setting of the review; repeat for more.", show_default=False),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Serve the review page and print the links. Every judgement is on the disk before it is acknowledged.

    The first time, the review is begun: the finished synthetic sets, mixed with real images. On this machine two links
    are printed, one to judge with and one for the dashboard, which unblinds. Ctrl-C ends it; nothing is lost.
    """
    from tenfold.recipes.reviewing import order_review, serve_review
    from tenfold.review.web.server import Listening

    console = session.open_console(quiet, as_json, debug, workspace)
    asked = Listening(
        host=host,
        port=port,
        is_remote=remote,
        certfile=certfile,
        keyfile=keyfile,
        is_behind_proxy=behind_proxy,
        address=address,
    )
    serve_review(order_review(workspace, settings or ()), asked, lambda page: _show_page(page, console))


@app.command("invite", epilog=_INVITE_EXAMPLES)
def invite(
    name: Name,
    workspace: Place,
    role: Annotated[
        str | None,
        typer.Option(
            "--role", metavar="reviewer|adjudicator|lead", help="reviewer when not given. A lead is unblinded."
        ),
    ] = None,
    days: Annotated[float, typer.Option("--days", min=0.01, max=3650, help="How long the link works.")] = 14.0,
    address: Annotated[
        str | None, typer.Option("--address", metavar="URL", help="The page's address; else where it was served last.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a person's link; of a person invited before, a new one, which ends the link and sessions they had."""
    from tenfold.recipes.reviewing import invite_reviewer

    console = session.open_console(quiet, as_json, debug, workspace)
    made = invite_reviewer(workspace, name, role, days, address)
    value = {"name": made.name, "role": made.role, "link": made.link, "expires_at": made.expires_at.isoformat()}
    console.result(value, [made.link])
    console.line(f"For {made.name} ({made.role}), until {made.expires_at:%Y-%m-%d}. Shown once: it is stored nowhere.")


@app.command("revoke", epilog="Example: tenfold review revoke 'Dr Rao' -w lesions")
def revoke(name: Name, workspace: Place, quiet: Quiet = False, as_json: Json = False, debug: Debug = False) -> None:
    """End a person's link and sessions at once. Their decisions stay; what they have not seen goes to the others."""
    from tenfold.recipes.reviewing import revoke_reviewer

    console = session.open_console(quiet, as_json, debug, workspace)
    person = revoke_reviewer(workspace, name)
    console.result({"name": person.name, "state": person.state}, [f"{person.name}'s link has ended."])


@app.command("status", epilog="Example: tenfold review status -w lesions --json")
def status(workspace: Place, quiet: Quiet = False, as_json: Json = False, debug: Debug = False) -> None:
    """How far each reviewer is, and which images could not be shown."""
    from tenfold.recipes.reviewing import review_status

    console = session.open_console(quiet, as_json, debug, workspace)
    found = review_status(workspace)
    console.table(
        "Reviewers",
        ("Name", "Role", "Link", "Images", "Decided", "Accepted", "Adjudicated"),
        [
            (
                one.name,
                one.role,
                f"to {one.expires_at:%Y-%m-%d}" if one.state == "active" else one.state,
                one.total,
                one.decided,
                one.accepted,
                f"{one.adjudicated} of {one.to_adjudicate}" if one.to_adjudicate else "",
            )
            for one in found.people
        ],
    )
    for fault in found.faults:
        console.line(f"Not shown: image {fault.image_id}: {fault.what}")
    console.result(found.as_dict(), [f"{found.n_images} images, {found.n_decisions} decisions in {found.database}"])


@app.command("export", epilog="Example: tenfold review export -w lesions --to for-paper")
def export(
    workspace: Place,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Where the files go; review/export when not given.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write decisions and consensus (Parquet, CSV), the accepted manifest, ranked prompts and Label Studio JSON."""
    from tenfold.recipes.reviewing import export_review

    console = session.open_console(quiet, as_json, debug, workspace)
    folder, files = export_review(workspace, to)
    console.result({"folder": str(folder), "files": list(files)}, [f"Written to {folder}: {', '.join(files)}"])


def _show_page(page: ServedPage, console: Console) -> None:
    people = [{"name": one.name, "role": one.role, "link": one.link} for one in page.links]
    console.line(f"{page.n_images} images are to be judged." + (" The review was begun." if page.is_new else ""))
    if page.links:
        lines = [
            f"{'To judge' if one.role == 'reviewer' else 'Dashboard (unblinds)'}: {one.link}" for one in page.links
        ]
    else:
        lines = [f"The page is at {page.address}. Make links with: tenfold review invite NAME -w WORKSPACE"]
    if page.note:
        console.line(f"Note: {page.note}")
    console.result({"address": page.address, "n_images": page.n_images, "people": people, "note": page.note}, lines)
    console.line("Ctrl-C ends the page; nothing is lost, and the same command goes on.")
