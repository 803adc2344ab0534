"""Alerts by apprise: Slack, mail, PagerDuty and others, by the addresses of ``LINGOKIDS_ALERTS``.

A fault is told once, and once more when it is over: what is told stands in a file beside the
warehouse. Which faults there are: ``faults``. No address is ever logged.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path

from lingokids.runtime.faults import UNRECORDED_RUN, Fault

LOGGER = logging.getLogger(__name__)
#: For how long all addresses together are waited for.
_SECONDS = 10.0


def told_file(database: Path) -> Path:
    """The file that says which faults are told, and not over yet."""
    return database.with_name(f".{database.name}.alerts.json")


def tell(  # noqa: PLR0913
    addresses: str,
    database: Path,
    environment: str,
    faults: list[Fault],
    *,
    is_whole: bool,
    of_run: str = "",
) -> None:
    """Send what is new and what is over, if anything is.

    Args:
        addresses: As apprise writes them, apart by white space.
        database: The warehouse.
        environment: For the title.
        faults: Those that there are.
        is_whole: Whether there are no others: else none is over.
        of_run: The pipelines of the run that has ended: of others, a failure that no table
            records is not over.
    """
    file = told_file(database)
    told = _read(file)
    new = [fault for fault in faults if fault.name not in told]
    found = {fault.name for fault in faults}
    unrecorded, own = f"{UNRECORDED_RUN}: ", f"{UNRECORDED_RUN}: {of_run}"
    found |= {name for name in told if name.startswith(unrecorded) and name != own}
    over = [name for name in told if name not in found] if is_whole else []
    if not (new or over):
        return
    standing = len(told) - len(over)
    title = f"lingokids {environment}: {new[0].kind if new else 'well again'}"
    lines = [fault.says for fault in new] + [f"Over: {name}." for name in over]
    if standing:
        lines.append(f"Told before and not over: {standing}.")
    if _send(addresses.split(), title, "\n".join(lines)):
        kept = {name: says for name, says in told.items() if name not in over}
        _write(file, kept | {fault.name: fault.says for fault in new})


def _send(addresses: list[str], title: str, body: str) -> bool:
    """Whether any address took it; each is given a thread, for one may hang."""
    try:
        import apprise  # noqa: F401
    except ImportError:
        LOGGER.warning(
            "LINGOKIDS_ALERTS is set, and apprise is not installed: uv sync --extra alerts."
        )
        return False
    for name in ("apprise", "urllib3"):  # they log addresses
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    taken: list[str] = []
    threads = [
        threading.Thread(target=_send_to, args=(address, title, body, taken), daemon=True)
        for address in addresses
    ]
    until = time.monotonic() + _SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    count = len(taken)
    if count < len(addresses):
        LOGGER.warning(
            "An alert was taken by %s of the %s addresses of LINGOKIDS_ALERTS, in at most %g s%s.",
            *(count, len(addresses), _SECONDS),
            "" if count else ": it is sent again after the next run",
        )
    return count > 0


def _send_to(address: str, title: str, body: str, taken: list[str]) -> None:
    from apprise import Apprise, NotifyFormat

    try:
        service = Apprise()
        if service.add(address) and service.notify(body, title, body_format=NotifyFormat.TEXT):
            taken.append("")
    except Exception:  # its text has the address
        LOGGER.debug("An address of LINGOKIDS_ALERTS fails.")


def _read(file: Path) -> dict[str, str]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _write(file: Path, told: dict[str, str]) -> None:
    part = file.with_suffix(".part")
    part.write_text(json.dumps(told, indent=1), encoding="utf-8")
    part.replace(file)
