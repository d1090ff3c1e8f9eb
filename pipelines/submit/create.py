"""Make something on the server once, even if an answer gets lost."""

from collections.abc import Callable
from typing import Any

from pipelines.submit.errors import ServerError
from pipelines.submit.server import ATTEMPTS, Server

CONFLICT = 409
LOOKS = 5
"""How often is looked, with growing pauses, for what must not be posted again."""


def create_once(
    server: Server,
    what: str,
    post: Callable[[], Any],
    look: Callable[[], Any | None],
    *,
    page: str | None = None,
) -> Any:
    """What `post` makes; after an answer that was lost, `look` finds it.

    What the server has surely not begun is posted again. What it may have made is looked for; if
    it is not there, it is posted again only if its name is unique, as the server then refuses a
    second one.

    Args:
        server: for pauses.
        what: what errors call it, such as "the run 'x'".
        post: makes it; calls the server once.
        look: finds it if it has been made, else None.
        page: for what has no unique name: where in the UI a person can look for it.

    Raises:
        ServerError: the server refuses it, or it is not certain whether it was made.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return post()
        except ServerError as error:
            failure = error
        if failure.status != CONFLICT and not failure.passing:
            raise failure
        if not failure.taken and failure.status != CONFLICT:
            server.sleep(server.pause(attempt, failure))
            continue
        try:
            found = _look_again(server, failure, attempt, look, 1 if page is None else LOOKS)
        except ServerError:
            break
        if found is not None:
            return found
        if failure.status in (CONFLICT, 500):
            raise failure
        if page is not None:
            break
    raise _uncertain(what, failure, page) if failure.taken else failure


def _look_again(
    server: Server,
    failure: ServerError,
    attempt: int,
    look: Callable[[], Any | None],
    times: int,
) -> Any | None:
    """What `look` finds. What was only just taken may take a while to be there."""
    for n in range(times):
        if failure.passing:
            server.sleep(server.pause(attempt + n, failure))
        found = look()
        if found is not None:
            return found
    return None


def _uncertain(what: str, failure: ServerError, page: str | None) -> ServerError:
    todo = f"look at {page} before you try again" if page else "try again: it is made only once"
    return ServerError(
        f"{failure}. It is not certain whether {what} was made; {todo}", status=failure.status
    )
