"""FlorDB's API on afterlog under its package's name; see ``flor``."""
from flor import *  # noqa: F401,F403
from flor import __getattr__, arg, checkpointing, commit, dataframe, iteration, log, loop, pivot  # noqa: F401
