"""What a service is told: where it listens, what it takes, and who may ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from evalkit import checks
from evalkit.checks import boolean, text, unfit, whole_number
from evalkit.errors import ConfigError

KEYS_VARIABLE = "EVALKIT_SERVE_API_KEY"
"""Environment variable with the keys that requests may carry, separated by commas."""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Where a service listens and what it takes.

    Args:
        host: Address or name of the interface.
        port: Its TCP port; 0 takes a free one.
        allow_open: Whether it may listen beyond this machine without a key.
        model_names: Names that requests may ask for besides the model's own.
        max_documents: Documents of a request.
        max_text_chars: Characters of a query or document.
        max_body_mb: Size of a request's body, in MiB.
        micro_batching: Whether pairs of several requests are scored in one pass.
        max_batch_pairs: Pairs of a pass; a request that has more takes several, in turn with others.
        max_wait_ms: Longest wait for other requests, in milliseconds, ``timeout_s`` at most.
        max_queue_pairs: Waiting pairs beyond which requests are refused.
        timeout_s: Longest time from a request's head to its answer, in seconds.
        grace_s: Longest time for what waits when the service is stopped, in seconds.

    Raises:
        ConfigError: A value is of the wrong kind, the queue holds less than one request, or waiting for others takes
            longer than a request may.
    """

    host: str
    port: int
    allow_open: bool
    model_names: Sequence[str]
    max_documents: int
    max_text_chars: int
    max_body_mb: int
    micro_batching: bool
    max_batch_pairs: int
    max_wait_ms: int
    max_queue_pairs: int
    timeout_s: int
    grace_s: int

    def __post_init__(self) -> None:
        text("serve.host", self.host)
        for name in ("allow_open", "micro_batching"):
            boolean(f"serve.{name}", getattr(self, name))
        for name in ("max_documents", "max_text_chars", "max_body_mb", "max_batch_pairs", "max_queue_pairs"):
            whole_number(f"serve.{name}", getattr(self, name), 1)
        for name in ("port", "max_wait_ms", "grace_s"):
            whole_number(f"serve.{name}", getattr(self, name), 0)
        whole_number("serve.timeout_s", self.timeout_s, 1)
        if self.port >= 2**16:
            raise unfit("serve.port", self.port, "0 to 65535")
        if self.max_wait_ms > self.timeout_s * 1000:
            raise unfit("serve.max_wait_ms", self.max_wait_ms, f"serve.timeout_s, {self.timeout_s * 1000} ms, at most")
        if not isinstance(self.model_names, list | tuple) or not all(
            isinstance(name, str) for name in self.model_names
        ):
            raise unfit("serve.model_names", self.model_names, "a list of names, such as [rerank-v3.5]")
        if self.max_queue_pairs < self.max_documents:
            raise ConfigError(
                f"serve.max_queue_pairs is {self.max_queue_pairs}, less than a request of serve.max_documents, "
                f"{self.max_documents}, so that it would never be taken; raise the one or lower the other"
            )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def keys_of(environment: Mapping[str, str], settings: ServeSettings) -> tuple[str, ...]:
    """The keys that requests may carry; none where everybody may ask.

    Whoever can reach an open service can use the machine up and learn how it scores, and an override that was meant for
    one network soon listens in another: so that is asked for by name.

    Raises:
        ConfigError: A key cannot stand in a header, or there is none where the network can reach the service.
    """
    found = environment.get(KEYS_VARIABLE, "")
    keys = tuple(key for part in found.split(",") if (key := part.strip()))
    if found and not keys:
        raise ConfigError(f"{KEYS_VARIABLE} holds no key; set one, several with commas between them, or unset it")
    for key in keys:
        checks.key(KEYS_VARIABLE, key)
    if not (keys or settings.is_local or settings.allow_open):
        raise ConfigError(
            f"serve.host is {settings.host!r}, which other machines may reach, and there is no key; set "
            f"{KEYS_VARIABLE}, or serve.allow_open=true where something else keeps strangers out"
        )
    return keys
