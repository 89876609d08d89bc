#!/usr/bin/python3
"""A file system that loses what was not synced when its process is killed, as a disk does when the power goes.

usage: forgetful_fs.py BACKING MOUNTPOINT     runs until it is killed

Files live in memory. fsync of a file copies it to the directory BACKING, fsync of the directory its names: what lies
there is what a new mount begins with. One flat directory, as a journal needs."""

import errno
import os
import pathlib
import stat
import sys
import time

import fusepy as fuse


class ForgetfulFs(fuse.Operations):
    def __init__(self, backing):
        self.backing = pathlib.Path(backing)
        self.files = {path.name: bytearray(path.read_bytes()) for path in self.backing.iterdir()}

    def find(self, path):
        if path[1:] not in self.files:
            raise fuse.FuseOSError(errno.ENOENT)
        return self.files[path[1:]]

    def getattr(self, path, fh=None):
        now = time.time()
        times = {"st_atime": now, "st_mtime": now, "st_ctime": now, "st_uid": os.getuid(), "st_gid": os.getgid()}
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2, **times}
        return {"st_mode": stat.S_IFREG | 0o644, "st_nlink": 1, "st_size": len(self.find(path)), **times}

    def readdir(self, path, fh):
        return [".", "..", *self.files]

    def create(self, path, mode, fi=None):
        self.files.setdefault(path[1:], bytearray())
        return 0

    def open(self, path, flags):
        self.find(path)
        return 0

    def read(self, path, size, offset, fh):
        return bytes(self.find(path)[offset:offset + size])

    def write(self, path, data, offset, fh):
        content = self.find(path)
        if len(content) < offset:
            content.extend(bytes(offset - len(content)))
        content[offset:offset + len(data)] = data
        return len(data)

    def truncate(self, path, length, fh=None):
        content = self.find(path)
        del content[length:]
        content.extend(bytes(length - len(content)))

    def unlink(self, path):
        self.find(path)
        del self.files[path[1:]]

    def rename(self, old, new):
        self.files[new[1:]] = self.find(old)
        del self.files[old[1:]]

    def fsync(self, path, datasync, fh):
        part = self.backing.parent / f"{self.backing.name}.part"
        part.write_bytes(self.find(path))
        part.rename(self.backing / path[1:])
        return 0

    def fsyncdir(self, path, datasync, fh):
        for kept in list(self.backing.iterdir()):
            if kept.name not in self.files:
                kept.unlink()
        for name in self.files:
            (self.backing / name).touch()
        return 0


if __name__ == "__main__":
    fuse.FUSE(ForgetfulFs(sys.argv[1]), sys.argv[2], foreground=True, nothreads=True)
