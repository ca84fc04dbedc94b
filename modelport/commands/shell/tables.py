"""Deployments as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from modelport.commands.shell.output import labelled, say, say_json
from modelport.contract.card import Card
from modelport.describe.snippets import Call, plain_url

# Of a module that fails, the end of what it has printed.
LOG_LINES = 20


def table(rows: Iterable[Sequence[Any]], *, head: bool = True) -> None:
    """Rows of equal length in columns. head: the first row is one."""
    lines = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for number, line in enumerate(lines):
        text = "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        say(text, bold=text if head and number == 0 else "")


def listing(
    documents: list[dict[str, Any]],
    head: Sequence[str],
    row: Callable[[dict[str, Any]], Sequence[Any]],
    nothing: str,
    *,
    as_json: bool,
) -> None:
    """The documents for programs; for people a row of each. nothing: why there are none."""
    if as_json:
        say_json(documents)
    elif documents:
        table([*([head] if head else []), *map(row, documents)], head=bool(head))
    else:
        say(nothing, err=True)


def facts(deployment: dict[str, Any]) -> None:
    workers = f"{deployment['workers']}, {deployment['busy']} busy, {deployment['queued']} calls waiting"
    rows = [
        ("name", deployment["name"]),
        ("title", deployment["title"]),
        ("module", deployment["module"]),
        ("status", status(deployment)),
        ("version", f"of {deployment['version_of']}" if deployment.get("version_of") else ""),
        ("endpoint", deployment["endpoint"]),
        ("plain", plain_url(deployment)),
        ("token", deployment["token"] or "the server's own, if it was started with one"),
        ("workers", workers if deployment["workers"] else ""),
        *(("worker", _place(place)) for place in deployment.get("places", [])),
        *(("node", _node(node)) for node in deployment.get("nodes", [])),
        ("calls", _calls(deployment)),
        ("price", _price(deployment)),
        ("sales", _sales(deployment)),
        ("created", deployment["created"]),
    ]
    if (bucket := deployment["bucket"]) is not None:
        names = {"bucket": "bucket", "S3": "endpoint", "key": "access_key", "secret": "secret_key"}
        rows += [(name, bucket[key]) for name, key in names.items()]
    if (failure := deployment["failure"]) is not None:
        log = str(failure.get("log") or "").rstrip().splitlines()[-LOG_LINES:]
        rows += [("failure", failure["message"]), *(("", line) for line in log)]
    labelled(rows)


def versions(deployment: dict[str, Any]) -> None:
    """Side by side: who answers the calls of this service, and how that goes."""
    rows = [
        (row["name"], f"{row['share']} %", row["status"], row["calls"], row["failures"], _seconds(row["p50_s"]))
        for row in deployment["versions"]
    ]
    table([("VERSION", "SHARE", "STATUS", "CALLS", "FAILED", "P50"), *rows])


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g} s"


def status(deployment: dict[str, Any]) -> str:
    """With the calls that a version answers."""
    shift = deployment.get("shift")
    return str(deployment["status"]) + (f", {shift['share']} % to {shift['to']}" if shift else "")


def _calls(deployment: dict[str, Any]) -> str:
    if not deployment["calls"]:
        return "no calls yet"
    median_s = deployment["p50_s"]
    return str(deployment["calls"]) + ("" if median_s is None else f", median time {median_s:.3g} s")


def _price(deployment: dict[str, Any]) -> str:
    price = deployment.get("price")
    if price is None:
        return ""
    problem = deployment["sales"]["problem"]
    credits = f"{price['credits']} credit{'s' if price['credits'] > 1 else ''} a call"
    return f"{credits}; not on sale: {problem}" if problem else credits


def _sales(deployment: dict[str, Any]) -> str:
    sales = deployment.get("sales")
    if sales is None or not any(sales[name] for name in ("paid", "failed", "pending")):
        return ""
    return (
        f"calls paid: {sales['paid']}, credits: {sales['credits']}, payments failed: {sales['failed']}, "
        f"pending: {sales['pending']}"
    )


def _place(place: dict[str, Any]) -> str:
    return f"{place['node']}, process {place['pid']}" + (", busy" if place["busy"] else "")


def _node(node: dict[str, Any]) -> str:
    amounts = [
        f"{node[key]:g} {unit}{'' if node[key] == 1 else 's'}"
        for key, unit in (("cpus", "CPU"), ("gpus", "GPU"))
        if node[key] or key == "cpus"
    ]
    return f"{node['name']}: {', '.join(amounts)}, {node['memory_bytes'] / 2**30:.3g} GiB of memory"


def workers(deployment: dict[str, Any]) -> str:
    """How many, and on how many machines, if these are several."""
    nodes = len({place["node"] for place in deployment.get("places", [])})
    return f"{deployment['workers']} on {nodes} nodes" if nodes > 1 else str(deployment["workers"])


def how_to_call(deployment: dict[str, Any], card: Card | None) -> None:
    call = Call(deployment, card)
    scripts = {"From a shell:": call.shell(), "From Python:": call.python().splitlines()}
    if call.bucket is not None:
        scripts["Asynchronous, by its bucket:"] = call.asynchronous().splitlines()
    for title, lines in scripts.items():
        say("\n".join([f"\n{title}\n", *(f"    {line}".rstrip() for line in lines)]))
