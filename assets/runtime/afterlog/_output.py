"""Keeps a copy of what the script prints, without changing how it prints."""
import io
import os
import sys


class _Copying:
    """Copies what was written. The stream's own write is done first and is never repeated.

    A signal's exception may come between the two: then a line is missing from the copy. If a buffer stood above this, it
    would take the write as failed and write the line twice.
    """

    copy_to = None

    def write(self, data):
        written = super().write(data)
        if written:
            try:
                os.write(self.copy_to, memoryview(data).cast("B")[:written])
            except OSError:
                pass
        return written


class _Buffered(_Copying, io.BufferedWriter):
    pass


class _Unbuffered(_Copying, io.FileIO):
    pass


def tee(fd):
    """Puts copying streams in place of standard output and error; gives the originals, to be kept from closing."""
    originals = (sys.stdout, sys.stderr)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            continue
        stream.flush()
        if isinstance(stream.buffer, io.BufferedWriter):
            copying = _Buffered(stream.buffer.raw)
        else:
            # Under python -u.
            copying = _Unbuffered(stream.fileno(), "wb", closefd=False)
            copying.name = "<%s>" % name
        copying.copy_to = fd
        replacement = io.TextIOWrapper(
            copying,
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=getattr(stream, "write_through", False),
        )
        replacement.mode = "w"
        setattr(sys, name, replacement)
        setattr(sys, "__%s__" % name, replacement)
    return originals
