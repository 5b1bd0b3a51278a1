"""Models from a hub that speaks the Hugging Face protocol, through its own client."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from fleet_adapters.llamacpp.locking import file_lock
from fleet_adapters.llamacpp.wheel_download import Progress
from fleet_core.errors import FleetError, InputError, NotFound, PluginError, StoreError, Unavailable

_SHA256_DIGITS = 64


class _Stopped(Exception):
    """The pull was cancelled."""


async def pull(
    repo: str,
    filename: str,
    models_dir: Path,
    progress: Progress | None = None,
    *,
    endpoint: str | None = None,
) -> Path:
    """Fetch one file of a repository; what an earlier pull had got so far is not fetched again.

    The file's SHA-256 is kept beside it as `FILE.sha256`, and is held against the hub's own where
    that gives one (it does for every large file). A file that is there already and unchanged at
    the hub is left as it is.

    Args:
        repo: `OWNER/NAME`.
        filename: path within it.
        models_dir: the file lands in `models_dir/OWNER--NAME/filename`.
        progress: bytes done and in all; called from another thread.
        endpoint: the hub's address; None for the client's own default (`HF_ENDPOINT`).

    Raises:
        InputError: `repo` or `filename` cannot be names of a repository and its file.
        NotFound: the hub has no such repository or file, or shows it only to others.
        PluginError: the extra `huggingface` is not installed.
        Unavailable: the hub does not answer; pull again, and it goes on where it stopped.
        StoreError: what came does not have the hub's checksum (it was discarded), or the folder
            cannot be written.
    """
    _require_names(repo, filename)
    try:
        import huggingface_hub  # noqa: F401, PLC0415 -- an extra, and slow to import
    except ImportError:
        raise PluginError(
            "pulling models needs the package huggingface-hub", "install swe-ai-fleet[huggingface]"
        ) from None
    target = models_dir / repo.replace("/", "--") / filename
    stop = threading.Event()
    try:
        async with file_lock(target.with_name(f".{target.name}.lock")):
            work = partial(
                _pull, repo, filename, target, endpoint=endpoint, progress=progress, stop=stop
            )
            running = asyncio.ensure_future(asyncio.to_thread(work))
            try:
                await asyncio.shield(running)
            except asyncio.CancelledError:
                stop.set()  # the thread notices at its next block
                await asyncio.wait({running})
                running.exception()
                raise
    except OSError as error:
        raise StoreError(f"{target.parent} cannot be written: {error.strerror}") from None
    return target


def _require_names(repo: str, filename: str) -> None:
    parts = repo.split("/")
    if len(parts) != 2 or not all(p.strip(".") and p.replace("\\", "") == p for p in parts):
        raise InputError(f"{repo!r} is not a repository", "write OWNER/NAME/FILE", field="repo")
    path = PurePosixPath(filename)
    if not path.name or path.is_absolute() or ".." in path.parts or "\\" in filename:
        raise InputError(
            f"{filename!r} is not a file of a repository", "write OWNER/NAME/FILE", field="file"
        )


def _pull(
    repo: str,
    filename: str,
    target: Path,
    *,
    endpoint: str | None,
    progress: Progress | None,
    stop: threading.Event,
) -> None:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url  # noqa: PLC0415 -- see `pull`
    from huggingface_hub import utils as hub_utils  # noqa: PLC0415 -- see `pull`
    from huggingface_hub.file_download import http_get  # noqa: PLC0415 -- see `pull`

    where = f"{repo}/{filename}"
    url = hf_hub_url(repo, filename, endpoint=endpoint)
    try:
        found = get_hf_file_metadata(url, endpoint=endpoint)
        etag, size = found.etag or "", found.size
        expected = etag if len(etag) == _SHA256_DIGITS else ""
        if expected and _kept_checksum(target) == expected:
            return
        part = target.with_name(f".{target.name}.{etag[:16] or 'unknown'}.partial")
        for old in target.parent.glob(f".{target.name}.*.partial"):
            if old != part:  # of an earlier version of the file
                old.unlink()
        headers = hub_utils.build_hf_headers()  # type: ignore[attr-defined]  # exported lazily
        if urlsplit(found.location).netloc != urlsplit(url).netloc:
            headers.pop("authorization", None)  # a storage server is another party
        with part.open("ab") as sink:
            http_get(
                found.location,
                sink,
                resume_size=sink.tell(),
                headers=headers,
                expected_size=size,
                tqdm_class=_bar(progress, stop),
            )
    except Exception as error:
        raise _translated(error, where) from error
    _keep(part, target, expected, where)


def _keep(part: Path, target: Path, expected: str, where: str) -> None:
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if expected and digest != expected:
        part.unlink()
        raise StoreError(
            f"{where} has SHA-256 {digest}, the hub says {expected}", "pull it again from anew"
        )
    target.with_name(f"{target.name}.sha256").write_text(f"{digest}  {target.name}\n")
    part.replace(target)


def _kept_checksum(target: Path) -> str:
    beside = target.with_name(f"{target.name}.sha256")
    if not target.is_file() or not beside.is_file():
        return ""
    return beside.read_text().split(" ", 1)[0]


def _translated(error: Exception, where: str) -> Exception:
    from huggingface_hub.errors import (  # noqa: PLC0415 -- see `pull`
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
    )

    if isinstance(error, FleetError | _Stopped):
        return error
    if isinstance(error, GatedRepoError):
        return NotFound(f"{where} is gated", "accept its terms at the hub, and set HF_TOKEN")
    if isinstance(error, EntryNotFoundError | RepositoryNotFoundError):
        return NotFound(
            f"the hub shows no {where}", "check OWNER/NAME/FILE; a private one needs HF_TOKEN"
        )
    said = " ".join(str(error).split())[:300]
    if isinstance(error, OSError) and error.errno and not isinstance(error, HfHubHTTPError):
        return error
    return Unavailable(
        f"the hub does not give {where}: {said or type(error).__name__}",
        "pull it again: it goes on where it stopped; HF_ENDPOINT names another hub",
    )


def _bar(progress: Progress | None, stop: threading.Event) -> type[Any]:
    """A progress bar, as the client wants one, that calls `progress` and shows nothing."""
    from tqdm.std import tqdm  # type: ignore[import-untyped]  # noqa: PLC0415 -- as the hub's

    class Bar(tqdm):  # type: ignore[misc]  # the package has no types
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._done = int(kwargs.get("initial") or 0)
            self._of = int(kwargs.get("total") or 0)
            kwargs["disable"] = True
            kwargs.pop("name", None)
            super().__init__(*args, **kwargs)

        def update(self, n: float | None = 1) -> bool | None:
            if stop.is_set():
                raise _Stopped
            self._done += int(n or 0)
            if progress is not None:
                progress(self._done, self._of)
            return None

    return Bar
