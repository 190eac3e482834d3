"""Seeds the generators that Python and NumPy would seed from the system, so that a replay draws the same numbers.

A script that seeds them itself is not affected; one that does not gets numbers as random as before, drawn from a seed
that the run keeps.
"""
import importlib.abc
import importlib.util
import random
import sys


def plant(seed):
    """Seeds ``random`` now and ``numpy.random`` right after its first import."""
    random.seed(seed)
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed(seed % (1 << 32))
    else:
        sys.meta_path.insert(0, _Finder(seed))


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, seed):
        self._seed = seed

    def find_spec(self, name, path=None, target=None):
        if name != "numpy.random":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Seeding(spec.loader, self._seed)
        return spec


class _Seeding(importlib.abc.Loader):
    def __init__(self, loader, seed):
        self._loader = loader
        self._seed = seed

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        # The module must not remember this loader: it is asked for sources and resources later.
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        module.seed(self._seed % (1 << 32))
