"""FlorDB's API on afterlog, so that scripts written for it run unmodified."""
from afterlog import arg, checkpointing, iteration, log, loop  # noqa: F401
from afterlog._flordb import commit, dataframe  # noqa: F401
from afterlog._flordb import retired as __getattr__  # noqa: F401

pivot = dataframe
