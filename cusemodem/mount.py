"""`cusemodem mount`: the service's status as a read-only file system, in a process of its own.

pyfuse3 allows one mount a process and runs in trio; nothing of the modem depends on this. A status' bytes are
made when its file is opened, so that a reader sees one moment; a recording is read as it grows.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyfuse3
import trio

from cusemodem.control_client import NoServiceError, get_status
from cusemodem.status_files import Content, GrowingWav, OpenWav, Tree, tree
from cusemodem.systemd_notices import Notices

MAX_AGE_S = 0.5
"""A status is asked for again when the one at hand is older."""


class StatusFiles(pyfuse3.Operations):
    """Files by path; a path keeps its inode for as long as the mount lives."""

    def __init__(self, control: Path, recordings: Path | None) -> None:
        super().__init__()
        self._control = control
        self._recordings = recordings
        self._paths: list[tuple[str, ...]] = [(), ()]  # by inode; 1 is the root
        self._inodes: dict[tuple[str, ...], int] = {(): pyfuse3.ROOT_INODE}
        self._tree: Tree = {}
        self._tree_at = -MAX_AGE_S
        self._open: dict[int, bytes | OpenWav] = {}
        self._next_handle = 1

    async def _node(self, inode: int) -> Any:  # noqa: ANN401 - a directory or a function
        """What is at an inode now. Raises FUSEError when it is gone, or the service is."""
        if trio.current_time() - self._tree_at > MAX_AGE_S:
            try:
                self._tree = await trio.to_thread.run_sync(self._look)
            except NoServiceError as error:
                raise pyfuse3.FUSEError(errno.EHOSTDOWN) from error
            self._tree_at = trio.current_time()
        if inode >= len(self._paths):
            raise pyfuse3.FUSEError(errno.ENOENT)
        node: Any = self._tree
        for name in self._paths[inode]:
            if not isinstance(node, dict) or name not in node:
                raise pyfuse3.FUSEError(errno.ENOENT)
            node = node[name]
        return node

    def _look(self) -> Tree:
        return tree(get_status(self._control), self._recordings)

    def _inode(self, path: tuple[str, ...]) -> int:
        if path not in self._inodes:
            self._inodes[path] = len(self._paths)
            self._paths.append(path)
        return self._inodes[path]

    def _attributes(self, inode: int, node: Any) -> pyfuse3.EntryAttributes:  # noqa: ANN401
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = inode
        is_directory = isinstance(node, dict)
        entry.st_mode = (stat.S_IFDIR | 0o550) if is_directory else (stat.S_IFREG | 0o440)
        entry.st_nlink = 2 if is_directory else 1
        entry.st_size = 0 if is_directory else _size(node)
        entry.st_uid, entry.st_gid = os.getuid(), os.getgid()
        entry.st_atime_ns = entry.st_mtime_ns = entry.st_ctime_ns = time.time_ns()
        entry.attr_timeout = entry.entry_timeout = 0
        return entry

    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """stat."""
        return self._attributes(inode, await self._node(inode))

    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext | None = None
    ) -> pyfuse3.EntryAttributes:
        """A name in a directory."""
        node = await self._node(parent_inode)
        text = os.fsdecode(name)
        if not isinstance(node, dict) or text not in node:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return self._attributes(self._inode((*self._paths[parent_inode], text)), node[text])

    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        """A directory's handle is its inode."""
        await self._node(inode)
        return inode

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """The names from `start_id` on."""
        node = await self._node(fh)
        for k, (name, child) in enumerate(sorted(node.items())[start_id:], start_id + 1):
            inode = self._inode((*self._paths[fh], name))
            if not pyfuse3.readdir_reply(token, os.fsencode(name), self._attributes(inode, child), k):
                return

    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Read-only; the content is that of this moment, except a recording's."""
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise pyfuse3.FUSEError(errno.EROFS)
        node = await self._node(inode)
        handle, self._next_handle = self._next_handle, self._next_handle + 1
        try:
            make = node.open if isinstance(node, GrowingWav) else node
            self._open[handle] = await trio.to_thread.run_sync(make)
        except OSError as error:
            raise pyfuse3.FUSEError(error.errno or errno.EIO) from error
        return pyfuse3.FileInfo(fh=handle, direct_io=True)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """A piece of what it was when it was opened; of a recording, of what it is now."""
        content = self._open[fh]
        if isinstance(content, bytes):
            return content[off : off + size]
        try:
            return await trio.to_thread.run_sync(content.read, off, size)
        except OSError as error:
            raise pyfuse3.FUSEError(error.errno or errno.EIO) from error

    async def release(self, fh: int) -> None:
        """Closed."""
        content = self._open.pop(fh, None)
        if isinstance(content, OpenWav):
            content.close()


def _size(node: Content | GrowingWav) -> int:
    if not isinstance(node, GrowingWav):
        return len(node())
    try:
        return node.size()
    except OSError as error:
        raise pyfuse3.FUSEError(error.errno or errno.EIO) from error


def serve(mount_point: Path, control: Path, recordings: Path | None, options: Sequence[str] = ()) -> None:
    """Mount and serve until SIGTERM or SIGINT, or until it is unmounted. Raises RuntimeError if it cannot."""
    operations = StatusFiles(control, recordings)
    pyfuse3.init(operations, str(mount_point), {*pyfuse3.default_options, "fsname=cusemodem", "ro", *options})
    try:
        trio.run(_serve)
    finally:
        pyfuse3.close(unmount=True)


async def _serve() -> None:
    notices = Notices()
    notices.tell("READY=1")
    async with trio.open_nursery() as nursery:

        async def until_told() -> None:
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                await anext(signals)
                nursery.cancel_scope.cancel()

        nursery.start_soon(until_told)
        await pyfuse3.main()
        nursery.cancel_scope.cancel()
