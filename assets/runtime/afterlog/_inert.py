"""What the calls say when nothing records them."""
import os
import sys

_said = False


def say_once():
    """One line on standard error per process, none in the children of a recorded run."""
    global _said
    if not _said:
        _said = True
        if "AFTERLOG_CHILD" not in os.environ:
            sys.stderr.write("afterlog: nothing is recorded here; record with: afterlog run %s\n" % sys.argv[0])
