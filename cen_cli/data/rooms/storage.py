"""Rendered rooms as files: rendered on first use, in parallel, resumable, described by a manifest.

    <folder>/manifest.json                              version, settings, domains, cameras, size and sha256 of files
    <folder>/<split>/<domain>/<room>_<view>.png         room in four digits

Every file appears whole or not at all (written beside its place, then renamed), and equal settings give equal bytes, so
a killed run is simply continued and several processes may render into one folder at once.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path

import platformdirs

from cen_cli.data.rooms.encoding import encode
from cen_cli.data.rooms.render import render_scene, view_camera
from cen_cli.data.rooms.scene import build_scene
from cen_cli.data.rooms.settings import DOMAINS, RENDERER_VERSION, RoomsSettings
from cen_cli.errors import DataError, UsageError
from cen_cli.files import write_bytes
from cen_cli.processes import end_with_parent, fresh_processes
from cen_cli.results import SPLITS, Advance, unheard

MANIFEST = "manifest.json"
ROOM_LEFT = "free some space or choose a folder that you may write to; what is rendered already is kept"


@dataclass
class Records:
    """What a manifest knows of: for each relative file name its size in bytes and sha256, and the cameras of views.

    A camera is [x, y, z, yaw, pitch, field of view] in metres and radians, by "<split>/<room>_<view>".
    """

    files: dict[str, tuple[int, str]] = field(default_factory=dict)
    cameras: dict[str, list[float]] = field(default_factory=dict)


_FLUSH_SECONDS = 2.0
"""The manifest on disk is at most so far behind, also when rendering is stopped."""
_ROOMS_WORTH_A_PROCESS = 16
"""Starting a process takes about as long as rendering this many rooms."""


@dataclass(frozen=True)
class _Room:
    """What is still to be rendered of one room: for each view its missing domains."""

    split: str
    room: int
    missing: tuple[tuple[int, tuple[str, ...]], ...]


def default_folder() -> Path:
    """Return the folder in the user's cache below which rendered rooms are kept."""
    return platformdirs.user_cache_path("cen") / "rooms"


def settings_key(settings: RoomsSettings) -> str:
    """Return the name of a data set's own folder: a short hash of renderer version and settings."""
    text = json.dumps({"version": RENDERER_VERSION, **asdict(settings)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def file_name(split: str, domain: str, room: int, view: int) -> str:
    """Return where a view's domain is stored, relative to the folder."""
    return f"{split}/{domain}/{room:04d}_{view}.png"


def prepare(
    settings: RoomsSettings,
    folder: str | Path | None = None,
    *,
    domains: Sequence[str],
    workers: int | None = None,
    progress: Advance = unheard,
    keyed: bool = True,
    verify: bool = False,
) -> Path:
    """Render what is missing of a data set and return its folder.

    The files lie in `folder/<key>`, the key being made of renderer version and settings, or with `keyed=False` in
    `folder` itself; without a folder, in the user's cache. Files are trusted when they have the size that the manifest
    records, with `verify` when they also have its sha256; all others are rendered (again). `workers` processes are
    used, by default up to one for each processor. `progress` is told (views done, views in all), also at the beginning.

    Raises UsageError for an unknown domain, and for `keyed=False` on a folder that holds other rooms; SaveError where
    the folder cannot be written; DataError where a rendering process was killed.
    """
    unknown = [domain for domain in domains if domain not in DOMAINS]
    if unknown:
        raise UsageError(f"unknown domain {unknown[0]!r}", hint=f"the rooms have {', '.join(DOMAINS)}")
    wanted = tuple(domain for domain in DOMAINS if domain in domains)
    base = default_folder() if folder is None else Path(folder)
    root = base / settings_key(settings) if keyed else base
    records = _read_manifest(root, settings)
    sound = _sound(root, records, verify=verify)
    pending = list(_missing(settings, wanted, sound))
    total = settings.views * sum(settings.rooms(split) for split in SPLITS)
    done = total - sum(len(room.missing) for room in pending)
    progress(done, total)
    if not pending:
        return root
    flushed = time.monotonic()
    try:
        for fresh in _rendered(root, settings, pending, _worker_count(workers, len(pending))):
            sound.files |= fresh.files
            sound.cameras |= fresh.cameras
            done += len(fresh.cameras)
            progress(done, total)
            if time.monotonic() - flushed > _FLUSH_SECONDS:
                _write_manifest(root, settings, sound)
                flushed = time.monotonic()
    finally:
        _write_manifest(root, settings, sound)
    return root


def _worker_count(workers: int | None, rooms: int) -> int:
    """Return how many processes to use: few for little work; one in a daemon process, which may have no children."""
    if multiprocessing.current_process().daemon:
        return 1
    useful = math.ceil(rooms / _ROOMS_WORTH_A_PROCESS) if workers is None else rooms
    return max(1, min(workers or os.cpu_count() or 1, useful))


def _sound(root: Path, records: Records, *, verify: bool) -> Records:
    """Return the records whose files are there as recorded."""
    sizes = {}
    for folder in {str(Path(name).parent) for name in records.files}:
        if (root / folder).is_dir():
            with os.scandir(root / folder) as entries:
                whole = (entry for entry in entries if not entry.name.startswith("."))  # others are being written
                sizes.update({f"{folder}/{entry.name}": entry.stat().st_size for entry in whole})
    sound = {name: record for name, record in records.files.items() if sizes.get(name) == record[0]}
    if verify:
        sound = {name: record for name, record in sound.items() if _digest((root / name).read_bytes()) == record[1]}
    return Records(sound, records.cameras)


def _missing(settings: RoomsSettings, domains: tuple[str, ...], sound: Records) -> Iterator[_Room]:
    for split in SPLITS:
        for room in range(settings.rooms(split)):
            lacking = (
                (view, tuple(d for d in domains if file_name(split, d, room, view) not in sound.files))
                for view in range(settings.views)
            )
            views = tuple((view, some) for view, some in lacking if some)
            if views:
                yield _Room(split, room, views)


def _rendered(root: Path, settings: RoomsSettings, pending: list[_Room], workers: int) -> Iterator[Records]:
    """Yield the records of every room's new files, in the order in which the rooms are finished."""
    if workers == 1:
        for task in pending:
            yield _render_room(root, settings, task)
        return
    with fresh_processes() as context:
        pool = ProcessPoolExecutor(workers, context, initializer=_leave_signals)
    try:
        with fresh_processes():  # the pool starts them as work comes in
            rooms = {pool.submit(_render_room, root, settings, room) for room in pending}
        for future in as_completed(rooms):
            rooms.remove(future)
            yield future.result()
    except BrokenProcessPool as error:
        hint = "what is rendered already is kept; one process alone (workers=1) needs the least memory"
        raise DataError("a process that renders rooms ended unexpectedly", hint=hint) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_signals() -> None:
    """Let Ctrl-C stop the caller alone, which then ends its processes; end where it is gone."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _render_room(root: Path, settings: RoomsSettings, task: _Room) -> Records:
    """Render the missing files of a room and return their records."""
    scene = build_scene(settings, task.split, task.room)
    records = Records()
    for view, domains in task.missing:
        camera = view_camera(scene, settings, task.split, task.room, view)
        described = (*camera.position, camera.yaw, camera.pitch, camera.field_of_view)
        records.cameras[f"{task.split}/{task.room:04d}_{view}"] = [round(value, 6) for value in described]
        pictures = render_scene(scene, settings, task.split, task.room, view, domains, camera)
        for domain, values in pictures.items():
            data = encode(domain, values)
            name = file_name(task.split, domain, task.room, view)
            write_bytes(root / name, data, hint=ROOM_LEFT)
            records.files[name] = len(data), _digest(data)
    return records


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read_manifest(root: Path, settings: RoomsSettings) -> Records:
    """Return the manifest's records; none if it is absent or damaged."""
    try:
        content = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        described, version = content["settings"], content["renderer_version"]
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in content["files"].items()}
        cameras = {str(name): [float(value) for value in camera] for name, camera in content["cameras"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Records()
    if version != RENDERER_VERSION:
        raise UsageError(f"{root} holds rooms of another version of the renderer", hint="choose an empty folder")
    wanted = asdict(settings)
    differing = [
        f"{key} = {described.get(key)}, not {wanted[key]}" for key in wanted if described.get(key) != wanted[key]
    ]
    if differing:
        raise UsageError(
            f"{root} holds rooms of other settings: {'; '.join(differing)}",
            hint="ask for these rooms (in a recipe: data.rooms), or choose an empty folder",
        )
    return Records(files, cameras)


def _write_manifest(root: Path, settings: RoomsSettings, records: Records) -> None:
    """Write the manifest, keeping records that another process has added meanwhile."""
    there = _read_manifest(root, settings)
    files, cameras = there.files | records.files, there.cameras | records.cameras
    content = {
        "renderer_version": RENDERER_VERSION,
        "settings": asdict(settings),
        "domains": sorted({name.split("/")[1] for name in files}),
        "cameras": dict(sorted(cameras.items())),
        "files": {name: list(record) for name, record in sorted(files.items())},
    }
    write_bytes(root / MANIFEST, json.dumps(content).encode(), hint=ROOM_LEFT)
