"""`rmtbench cache`: key-value caches that are kept between runs. What is here, whether it is sound, and what may go."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rmtbench.errors import UserError, check_home, nearest
from rmtbench.plural import many

if TYPE_CHECKING:
    from rmtbench.kvcache.disk.eviction import Entry

app = typer.Typer(help="Look after kept key-value caches: list, verify, remove, gc.", no_args_is_help=True)

Folder = Annotated[
    Path | None, typer.Option("--kv-cache", help="The caches' folder (else kv in RMTBENCH_CACHE, else the user's).")
]
Names = Annotated[list[str] | None, typer.Argument(help="Caches by name, or its beginning (default: all).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_caches(kv_cache: Folder = None, as_json: AsJson = False) -> None:
    """Show every cache: model, tokens, size, age and last use, the one used last at the end."""
    from rmtbench.kvcache.disk.eviction import entries, size_text

    folder = _folder(kv_cache)
    found = entries(folder)
    if as_json:
        typer.echo(json.dumps([_describe(entry) for entry in found], indent=1))
        return
    width = max((len(entry.name) for entry in found), default=0)
    for entry in found:
        if entry.manifest is None:
            what = "unfinished, the next run goes on with it" if entry.unfinished else f"damaged: {entry.damage}"
        else:
            made = datetime.fromisoformat(entry.manifest.created).timestamp()
            what = (
                f"{entry.manifest.identity['model']}, {entry.manifest.tokens:,} tokens, made {_ago(made)} in "
                f"{sum(entry.manifest.seconds.values()):.1f} s"
            )
            if entry.manifest.reused_tokens:
                what += f" ({entry.manifest.reused_tokens:,} tokens reused)"
        typer.echo(f"{entry.name:{width}}  {size_text(entry.bytes):>8}  used {_ago(entry.last_used)}  {what}")
    total = size_text(sum(entry.bytes for entry in found))
    typer.echo(f"{many(len(found), 'cache')}, {total}, in {folder}", err=True)


@app.command()
def verify(names: Names = None, kv_cache: Folder = None, as_json: AsJson = False) -> None:
    """Read every byte of every cache; exit with 1 and name each damaged file, if there is any."""
    from rmtbench.kvcache.disk.eviction import check

    found = [entry for entry in _named(_folder(kv_cache), names) if not entry.unfinished]
    damage = {entry.name: check(entry.path) for entry in found}
    if as_json:
        typer.echo(json.dumps([{"name": name, "damage": told} for name, told in damage.items()], indent=1))
    else:
        for name, told in damage.items():
            for line in told or ["sound"]:
                typer.echo(f"{name}: {line}")
    raise typer.Exit(1 if any(damage.values()) else 0)


@app.command("remove")
def remove_caches(
    names: Annotated[list[str], typer.Argument(help="Caches by name, or its beginning.")], kv_cache: Folder = None
) -> None:
    """Remove caches. A run that uses one now keeps it until its end."""
    from rmtbench.kvcache.disk.eviction import remove, size_text

    for entry in _named(_folder(kv_cache), names):
        remove(entry.path)
        typer.echo(f"removed {entry.name} ({size_text(entry.bytes)})")


@app.command()
def gc(
    cache_limit: Annotated[str, typer.Option(help="Most bytes that may stay.")] = "20GB", kv_cache: Folder = None
) -> None:
    """Remove unfinished and damaged caches, then those used longest ago until the rest is within the limit."""
    from rmtbench.kvcache.disk.eviction import collect, size_text
    from rmtbench.measure import parse_bytes

    freed = collect(_folder(kv_cache), parse_bytes(cache_limit, "--cache-limit"), typer.echo)
    typer.echo(f"{size_text(freed)} removed", err=True)


def _folder(given: Path | None) -> Path:
    from rmtbench.files import cache_folder

    check_home("--kv-cache", given)
    return given.expanduser() if given is not None else cache_folder() / "kv"


def _named(folder: Path, names: list[str] | None) -> list[Entry]:
    """The caches of these names.

    Raises:
        UserError: A name fits none.
    """
    from rmtbench.kvcache.disk.eviction import entries

    there = entries(folder)
    if not names:
        return there
    for name in names:
        if not any(entry.name.startswith(name) for entry in there):
            remedy = nearest(name, [entry.name for entry in there]) if there else "there are none"
            raise UserError(f"no cache '{name}'", where=str(folder), remedy=remedy)
    return [entry for entry in there if any(entry.name.startswith(name) for name in names)]


def _describe(entry: Entry) -> dict[str, Any]:
    manifest = entry.manifest
    row: dict[str, Any] = {
        "name": entry.name,
        "bytes": entry.bytes,
        "last_used": datetime.fromtimestamp(entry.last_used, UTC).isoformat(timespec="seconds"),
        "unfinished": entry.unfinished,
        "damage": entry.damage,
    }
    if manifest is not None:
        row |= {
            "model": manifest.identity["model"],
            "dtype": manifest.identity["dtype"],
            "tokens": manifest.tokens,
            "reused_tokens": manifest.reused_tokens,
            "created": manifest.created,
            "seconds": dict(manifest.seconds),
        }
    return row


def _ago(moment: float) -> str:
    """How long ago, for people."""
    passed = max(0.0, time.time() - moment)
    for unit, seconds in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if passed >= 2 * seconds:
            return f"{passed / seconds:.0f} {unit} ago"
    return f"{passed:.0f} s ago"
