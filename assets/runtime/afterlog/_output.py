"""Keeps a copy of what the script prints, without changing how it prints."""
import io
import os
import sys


class _Tee(io.RawIOBase):
    """Writes to a stream's own raw file and, what that took, to the copy."""

    def __init__(self, raw, name, fd):
        super().__init__()
        self._raw = raw
        self._fd = fd
        self.name = name
        self.mode = "wb"

    def write(self, data):
        written = self._raw.write(data)
        if written:
            try:
                os.write(self._fd, bytes(data[:written]))
            except OSError:
                pass
        return written

    def writable(self):
        return True

    def fileno(self):
        return self._raw.fileno()

    def isatty(self):
        return self._raw.isatty()


def tee(fd):
    """Puts copying streams in place of standard output and error; gives the originals, to be kept from closing."""
    originals = (sys.stdout, sys.stderr)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            continue
        stream.flush()
        raw = getattr(stream.buffer, "raw", stream.buffer)
        copying = _Tee(raw, "<%s>" % name, fd)
        write_through = getattr(stream, "write_through", False)
        replacement = io.TextIOWrapper(
            # Unbuffered as the original is, under python -u.
            copying if write_through and raw is stream.buffer else io.BufferedWriter(copying),
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=write_through,
        )
        replacement.mode = "w"
        setattr(sys, name, replacement)
        setattr(sys, "__%s__" % name, replacement)
    return originals
