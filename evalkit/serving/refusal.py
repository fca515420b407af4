"""The answers that are no ranking: a status, a kind for programs, and a message that quotes no text of the request."""

from __future__ import annotations

CLIENT_GONE = 499


class Refusal(Exception):  # noqa: N818 - it is an answer, and not always an error of ours
    """A request that gets no ranking.

    Args:
        status: HTTP status.
        kind: A word that stays the same, for programs.
        message: What was found, what was expected, what to do; it quotes nothing that was sent.
        retry_after_s: Whole seconds after which another try makes sense; None where it makes none.
    """

    def __init__(self, status: int, kind: str, message: str, retry_after_s: int | None = None) -> None:
        self.status = status
        self.kind = kind
        self.message = message
        self.retry_after_s = retry_after_s
        super().__init__(f"{status} {kind}")


def stopping() -> Refusal:
    """What requests get once the service was told to stop: another instance, or the next one, will answer."""
    return Refusal(503, "stopping", "the service is stopping; send the request again", 1)


def broken() -> Refusal:
    """What requests get once the worker has failed: the process ends, and whoever watches it starts another."""
    return Refusal(503, "failed", "the service failed and ends; send the request again", 5)


def client_gone() -> Refusal:
    """What proxies log for a client that hung up; nobody receives it."""
    return Refusal(CLIENT_GONE, "client_gone", "the client hung up")
