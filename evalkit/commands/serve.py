"""``evalkit serve``: one reranker behind ``/v1/rerank``, until it is stopped."""

from __future__ import annotations

import os
from argparse import Namespace
from importlib.util import find_spec

from evalkit.commands.words import split
from evalkit.composition import compose_config
from evalkit.config import build_reranker, build_serve_settings
from evalkit.errors import ConfigError
from evalkit.serving.settings import keys_of

NEEDED = ("fastapi", "prometheus_client", "uvicorn")


def run(arguments: Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        ConfigError: Libraries are missing, the reranker scores no texts, the port is taken, or nobody keeps strangers
            out.
        EvalkitError: The model cannot be loaded.
        RuntimeError: The thread that owns the model failed.
    """
    named, overrides = split(arguments.words)
    if named is not None:
        raise ConfigError(f"evalkit serve serves a reranker; found {named}, expected overrides such as reranker=...")
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ConfigError(f"{', '.join(missing)} is not installed; run: pip install 'evalkit-rerank[serve]'")
    config = compose_config(overrides)
    settings, reranker = build_serve_settings(config), build_reranker(config)
    keys = keys_of(os.environ, settings)
    from evalkit.serving.service import Service

    print("loading the model", flush=True)
    service = Service(reranker, settings, keys)
    service.run(_say)
    print("stopped", flush=True)
    if service.abandoned:
        os._exit(0)
    return 0


def _say(address: str) -> None:
    print(f"serving {address}/v1/rerank; health at {address}/health; Ctrl-C stops it", flush=True)
