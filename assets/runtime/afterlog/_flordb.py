"""FlorDB's calls beyond ours, for scripts written for it."""
import io
import shutil
import subprocess

#: The program that answers ``dataframe``; a recorded run knows the one that runs it.
executable = None


def flush():
    """Makes what this process logged so far known to that program; a recorded run puts its own call here."""


def commit(*args, **kwargs):
    """Nothing to do: every run keeps its version."""


def dataframe(*names):
    """The values of these names over all runs as a pandas frame, one row a position."""
    try:
        import pandas
    except ImportError:
        raise ImportError("dataframe() gives a pandas frame; pandas is not installed") from None
    program = executable or shutil.which("afterlog")
    if program is None:
        raise FileNotFoundError("dataframe() asks the program afterlog, which is not on PATH")
    flush()
    answer = subprocess.run([program, "grid", *names, "--format", "csv"], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise ValueError(answer.stderr.strip())
    # A run's id may look like a number.
    return pandas.read_csv(io.StringIO(answer.stdout), dtype={"run": str})


def retired(name):
    """A call that FlorDB once had: does nothing, gives its first argument back."""
    if name.startswith("__"):
        raise AttributeError(name)
    return lambda *args, **kwargs: args[0] if args else None
