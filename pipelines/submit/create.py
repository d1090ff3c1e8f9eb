"""Make something on the server once, even if an answer gets lost."""

from collections.abc import Callable
from typing import Any

from pipelines.submit.errors import ServerError
from pipelines.submit.server import ATTEMPTS, Server

CONFLICT = 409
LOOKS = 3
"""How often is looked for what the server may be making, with growing pauses."""


def create_once(
    server: Server,
    what: str,
    post: Callable[[], Any],
    look: Callable[[], Any | None],
    *,
    unique: bool = True,
) -> Any:
    """What `post` makes; after an answer that was lost, `look` decides whether to post again.

    Args:
        server: for pauses.
        what: what errors call it, such as "the run 'x'".
        post: makes it; calls the server once.
        look: finds it if it has been made, else None.
        unique: whether the server refuses a second one. If not, nothing is posted again while the
            server may still be at work on the first.

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
        found = _look_again(server, what, failure, attempt, look)
        if found is not None:
            return found
        if failure.status in (CONFLICT, 500):
            raise failure
        if failure.timed_out and not unique:
            break
    raise _uncertain(what, failure)


def _look_again(
    server: Server, what: str, failure: ServerError, attempt: int, look: Callable[[], Any | None]
) -> Any | None:
    """What `look` finds. What was only just taken may take a while to be there."""
    for n in range(LOOKS if failure.taken else 1):
        if failure.passing:
            server.sleep(server.pause(attempt + n, failure))
        try:
            found = look()
        except ServerError as error:
            if not error.passing:
                raise
            raise _uncertain(what, failure) from None
        if found is not None:
            return found
    return None


def _uncertain(what: str, failure: ServerError) -> ServerError:
    return ServerError(
        f"{failure}. It is not certain whether {what} was made: look in the UI before trying again",
        status=failure.status,
    )
