"""Seeds the generators that Python, NumPy and torch would seed from the system, so that a replay draws the same numbers.

A script that seeds them itself is not affected; one that does not gets numbers as random as before, drawn from a seed
that the run keeps.
"""
import importlib.abc
import importlib.util
import random
import sys


def plant(seed):
    """Seeds ``random`` now, ``numpy.random`` and ``torch`` right after their first import."""
    random.seed(seed)
    for name in _SEEDERS:
        if name in sys.modules:
            _sow(name, sys.modules[name], seed)
        else:
            sys.meta_path.insert(0, _Finder(name, seed))


#: The function of each module that seeds it.
_SEEDERS = {"numpy.random": "seed", "torch": "manual_seed"}


def _sow(name, module, seed):
    seeder = getattr(module, _SEEDERS[name], None)
    if seeder is not None:
        seeder(seed % (1 << 32))


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, name, seed):
        self._name = name
        self._seed = seed

    def find_spec(self, name, path=None, target=None):
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Seeding(name, spec.loader, self._seed)
        return spec


class _Seeding(importlib.abc.Loader):
    def __init__(self, name, loader, seed):
        self._name = name
        self._loader = loader
        self._seed = seed

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        # The module must not remember this loader: it is asked for sources and resources later.
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        _sow(self._name, module, self._seed)
