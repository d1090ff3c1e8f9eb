"""The shipper: ``python -m components.tracking.ship FOLDER [SECONDS]``.

One process a spool folder takes what stages write there to MLflow, oldest stage first. It goes
on for SECONDS after the last one, for the next stage of a pipeline is near and mlflow takes
ten seconds to start.
"""

import logging
import os
import ssl
import sys
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from components.redact import redact
from components.tracking.spool import (
    AWAY,
    Batch,
    Spool,
    UnreadableError,
    leave_note,
    only_one,
    pending,
    tracking_uri,
)

LOG = logging.getLogger(__name__)

POLL_S = 0.1
INTERVAL_S = 2.0
"""Metrics are sent at most this often; anything else at once."""
BACKOFF_S = 10.0
KNOCK_S = 3.0
"""How long to wait for a server to take a connection."""
ANSWER_S = 10.0
"""How long to wait for it to answer; a busy one takes its time."""


def ship(folder: Path, linger_s: float = 0.0) -> bool:
    """Ship all runs of a spool folder, those of living stages until they end.

    Returns:
        Whether MLflow was there. (If another shipper is at work, nothing is done.)
    """
    if not pending(folder):
        return True
    handler = logging.FileHandler(folder / "ship.log", delay=True)
    handler.setFormatter(Formatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    shipper = Shipper(folder, linger_s)
    while shipper.waiting():
        with only_one(folder) as mine:
            if not mine:
                return True
            reached = shipper.run()
        # A stage that started just before the lock was given back is served by the next turn.
        if not reached and shipper.give_up():
            return False
    return True


class Shipper:
    """Sends the spools of one folder until none is left."""

    def __init__(self, folder: Path, linger_s: float) -> None:
        """Nothing is opened yet: mlflow is imported with the first spool."""
        self.folder = folder
        self.linger_s = linger_s
        self.client: Any = None
        self.sent: dict[str, float] = {}
        self.broken: set[str] = set()
        self.away = False
        self.error = Exception("MLflow is away")

    def waiting(self) -> list[Spool]:
        """What is to be shipped, oldest first."""
        return [Spool(p) for p in pending(self.folder) if p.name not in self.broken]

    def run(self) -> bool:
        """Ship until nothing has been left for the linger time; false if MLflow is away."""
        busy, delay = time.monotonic(), POLL_S
        while True:
            spools = self.waiting()
            if spools:
                busy = time.monotonic()
            elif time.monotonic() - busy >= self.linger_s:
                return True
            last = all(spool.writer_is_gone() for spool in spools)
            if self.turn(spools):
                delay = POLL_S
            elif last:
                return False
            else:
                delay = min(2 * delay, BACKOFF_S)
            time.sleep(delay)

    def turn(self, spools: list[Spool]) -> bool:
        """Send what is there, in order; false at the first sign that MLflow is away.

        A run that MLflow refuses to open (below a parent that does not exist, say) stays in the
        spool folder and does not hold up the others.
        """
        for spool in spools:
            try:
                self.deliver(spool)
            except Exception as error:
                LOG.exception("%s was not shipped", spool.folder.name)
                if not self.refused(error):
                    self.note_away(error)
                    for each in spools:
                        each.fail(error)
                    return False
                spool.fail(error)
                self.broken.add(spool.folder.name)
        return True

    def give_up(self) -> bool:
        """Whether no stage is alive any more; those that still wait for MLflow are told why."""
        left = self.waiting()
        if not all(spool.writer_is_gone() for spool in left):
            return False
        for spool in left:
            spool.fail(self.error)
        return True

    def note_away(self, error: Exception) -> None:
        """Remember that MLflow is away, and tell the stages, so that none waits for it."""
        self.error, self.away = error, True
        leave_note(self.folder / AWAY, error)

    def note_there(self) -> None:
        """MLflow has taken something, or said no to it."""
        self.away = False
        (self.folder / AWAY).unlink(missing_ok=True)

    def refused(self, error: Exception) -> bool:
        """Whether trying again is pointless; not as long as there is no connection."""
        if isinstance(error, UnreadableError):
            return True
        if self.client is None:
            return False
        from components.tracking import store

        return store.refused(error)

    def deliver(self, spool: Spool) -> None:
        """Send what one stage has written since the last time."""
        gone = spool.writer_is_gone()  # asked first: what is read next is then all there is
        batches = spool.batches()
        if not gone and not self.due(spool, batches):
            return
        if gone and spool.unreadable:
            LOG.warning("%s: left out %d unreadable lines", spool.folder.name, spool.unreadable)
        if batches and "run_id" not in spool.progress and batches[0].events[0]["event"] != "start":
            raise UnreadableError("the beginning of the events cannot be read")
        for batch in batches:
            self.send(spool, batch)
        self.sent[spool.folder.name] = time.monotonic()
        if gone:
            if not spool.progress.get("ended") and "run_id" in spool.progress:
                died = {"event": "end", "status": "FAILED", "time": spool.last_word_ms()}
                self.send(spool, Batch([died], spool.progress["offset"]))
            spool.remove()

    def due(self, spool: Spool, batches: list[Batch]) -> bool:
        """Whether it is time: metrics can wait a moment, to go together."""
        if any(batch.events[0]["event"] != "metrics" for batch in batches):
            return True
        last = self.sent.get(spool.folder.name, 0.0)
        return bool(batches) and time.monotonic() - last >= INTERVAL_S

    def send(self, spool: Spool, batch: Batch) -> None:
        """Send one batch; what MLflow refuses is left out with a word in the log."""
        if self.client is None:
            self.client = connect()
        elif self.away:
            knock()
        from components.tracking import store

        try:
            store.handle(self.client, spool, batch.events)
        except Exception as error:
            if batch.events[0]["event"] == "start" or not store.refused(error):
                raise
            LOG.exception("%s: left out %.300s", spool.folder.name, batch.events[0])
        self.note_there()
        spool.progress["ended"] = batch.events[-1]["event"] == "end"
        spool.advance(batch.end)


class Formatter(logging.Formatter):
    """Formats records, tracebacks included, without passwords."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line or lines."""
        return redact(super().format(record))


def connect() -> Any:
    """A client of the tracking server.

    Raises:
        OSError: nothing answers there. That is found out before mlflow is imported, for it
            takes ten seconds.
    """
    knock()
    from components.tracking import store

    return store.open_client()


def knock() -> None:
    """See whether the tracking server takes connections and answers, whatever it answers.

    A server that hangs takes connections all the same. MLflow would wait for it for 40 seconds.

    Raises:
        OSError: it does not.
    """
    try:
        server = urlsplit(tracking_uri())
        host, port = server.hostname, server.port
    except ValueError:  # its words would quote a part of the password
        raise OSError("MLFLOW_TRACKING_URI is no valid address") from None
    if server.scheme not in ("http", "https") or not host or getproxies():
        return
    connection = open_connection(server.scheme, host, port)
    try:
        connection.connect()
        connection.sock.settimeout(ANSWER_S)
        connection.request("GET", server.path.rstrip("/") + "/health")
        connection.getresponse()
    except (HTTPException, ConnectionResetError, BrokenPipeError, ssl.SSLError) as error:
        LOG.info("no proper answer: %s", error)  # it is there; what is wrong, MLflow says better
    finally:
        connection.close()


def open_connection(scheme: str, host: str, port: int | None) -> HTTPConnection:
    """A connection that is yet to be made. Nothing secret is sent: no certificate is checked."""
    if scheme == "http":
        return HTTPConnection(host, port, timeout=KNOCK_S)
    return HTTPSConnection(host, port, timeout=KNOCK_S, context=ssl._create_unverified_context())


def main(folder: Path, linger_s: float) -> int:
    """Ship; the exit status. What goes wrong is in the log, without passwords."""
    try:
        return 0 if ship(folder, linger_s) else 1
    except Exception:
        LOG.exception("the shipper failed")
        return 1


if __name__ == "__main__":
    os.nice(10)
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
