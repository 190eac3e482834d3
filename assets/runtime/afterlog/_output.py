"""Keeps a copy of what the script prints and tells of its lines, without changing how it prints."""
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


class _Text(io.TextIOWrapper):
    """Tells of the text that was written: at once of what stands in one line, since `print` writes in small pieces."""

    #: So many pieces wait for the line's end, and none that is longer than so many characters.
    _most, _longest = 64, 4096
    _write = io.TextIOWrapper.write

    def begin(self, told):
        self.mode, self._told, self._pieces = "w", told, []

    def write(self, text):
        written = self._write(text)
        try:
            pieces = self._pieces
            pieces.append(text)
            if "\n" in text or len(pieces) > self._most or len(text) > self._longest:
                # Another thread may be writing, too.
                self._pieces = []
                self._told("".join(pieces))
        except Exception:  # noqa: BLE001, S110 - it is printed all the same
            pass
        return written


# What is said of it, in representations and in notes, is said of the class that the script knows.
_Text.__name__ = _Text.__qualname__ = "TextIOWrapper"


def tee(fd, tells):
    """Puts streams in place of standard output and error that copy to ``fd``, unless it is None, and tell of what is
    written; gives the originals, to be kept from closing.
    """
    originals = (sys.stdout, sys.stderr)
    for name, tell in zip(("stdout", "stderr"), tells):
        stream = getattr(sys, name)
        if stream is None:
            continue
        stream.flush()
        if fd is None:
            copying = stream.buffer
        elif isinstance(stream.buffer, io.BufferedWriter):
            copying = _Buffered(stream.buffer.raw)
        else:
            # Under python -u.
            copying = _Unbuffered(stream.fileno(), "wb", closefd=False)
            copying.name = "<%s>" % name
        if fd is not None:
            copying.copy_to = fd
        replacement = _Text(
            copying,
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=getattr(stream, "write_through", False),
        )
        replacement.begin(tell)
        setattr(sys, name, replacement)
        setattr(sys, "__%s__" % name, replacement)
    return originals
