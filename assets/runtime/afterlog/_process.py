"""State of the process that no variable holds: random number generators, and the settings of libraries that decide how
they compute. It belongs to every snapshot."""
import gc
import importlib
import os
import random
import re
import sys
import warnings

from . import _handlers, _kinds

_SETTINGS = "process:settings"
#: Where the process began: a replay may do so at another path.
_HOME = os.getcwd()
_DECIMAL = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")
#: Variables of the environment that belong to those who start this process, and to trackers that a replay keeps off.
_NOT_OURS = ("AFTERLOG_", "MLFLOW_", "WANDB_")
#: Parts of names of those that may be secret, and are kept nowhere: as in src/engine/record/environment.rs.
_SECRETS = ("TOKEN", "KEY", "SECRET", "PASS", "CREDENTIAL", "AUTH")
#: Of torch.backends: module and flag.
_BACKENDS = (("cudnn", "enabled"), ("cudnn", "benchmark"), ("cudnn", "deterministic"), ("mkldnn", "enabled"))


#: The environment when the main loop began: a replay may be started in another one, and what is secret in it stays there.
_environment = None


def enter():
    """The main loop begins."""
    global _environment
    _environment = _now()
    _handlers.enter()


def roots():
    """As variables: [(key, value)]."""
    return generators() + [(_SETTINGS, tuple(_read()))]


def is_process_state(scope):
    """Whether a variable of this scope is one of `roots`."""
    return scope in ("rng", "process")


def restore(key, state):
    """The inverse of `roots`, for one of them."""
    if key == "rng:random":
        random.setstate(state)
    elif key == "rng:numpy":
        _kinds.numpy().random.set_state(state)
    elif key == "rng:torch":
        _kinds.torch().set_rng_state(state)
    elif key == _SETTINGS:
        _write(state)
        # Where one was another than when the loop began, there is no checkpoint.
        _put({name: _environment.get(name) for name in changed_secrets()})
    else:
        _kinds.torch().cuda.set_rng_state(state, int(key.rpartition(":")[2]))


def import_for(key, state):
    """Imports what the settings' part of such a state names, as the run had by then."""
    for _, _, (module, _), _, _ in dict(state).get("warnings", ()) if key == _SETTINGS else ():
        if module not in sys.modules:
            importlib.import_module(module)


def generators():
    """The states of the process' random number generators, as variables."""
    found = [("rng:random", random.getstate())]
    numpy = _kinds.numpy()
    if numpy is not None:
        found.append(("rng:numpy", numpy.random.get_state()))
    torch = _kinds.torch()
    if torch is not None:
        found.append(("rng:torch", torch.get_rng_state()))
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            for device in range(torch.cuda.device_count()):
                found.append(("rng:cuda:%d" % device, torch.cuda.get_rng_state(device)))
    return found


def are_equal(states, others):
    """Whether the generators are as they were."""
    return len(states) == len(others) and all(_is_equal(*pair) for pair in zip(states, others))


def _is_equal(one, other):
    (key, state), (_, was) = one, other
    if _kinds.is_tensor(state):
        return bool((state == was).all())
    if key == "rng:numpy":
        return state[2:] == was[2:] and state[1].tobytes() == was[1].tobytes()
    return state == was


def _read():
    """Each setting as (name, plain value); those that a library's version does not have, or refuses to tell, are left out."""
    found = []
    for name, get, _ in _settings():
        try:
            found.append((name, get()))
        except Exception:  # noqa: BLE001 - of another version, or set by a newer way that excludes this one
            pass
    return found


def _write(wanted):
    known = {name: (get, put) for name, get, put in _settings()}
    for name, value in wanted:
        if name in known:
            get, put = known[name]
            if get() != value:
                put(value)


def _settings():
    """Name, getter and setter of each, of the libraries that are loaded."""
    settings = [("folder", lambda: os.path.relpath(os.getcwd(), _HOME), lambda value: os.chdir(os.path.join(_HOME, value)))]
    settings.append(("warnings", _filters, _set_filters))
    settings.append(("environment", _variables, _set_variables))
    settings += _of_python()
    decimal = sys.modules.get("decimal")
    if decimal is not None:
        settings.append(("decimal", lambda: _decimal(decimal), lambda value: _set_decimal(decimal, value)))
    numpy = _kinds.numpy()
    if numpy is not None:
        errors = (
            "numpy.errors",
            lambda: tuple(sorted(numpy.geterr().items())),
            lambda value: numpy.seterr(**dict(value)),
        )
        printing = (
            "numpy.printing",
            lambda: _plain(numpy.get_printoptions()),
            lambda value: numpy.set_printoptions(**dict(value)),
        )
        settings += [errors, printing]
    torch = _kinds.torch()
    if torch is not None:
        settings += _of_torch(torch)
    return settings


def _of_python():
    settings = [
        ("recursion", sys.getrecursionlimit, sys.setrecursionlimit),
        ("switching", sys.getswitchinterval, sys.setswitchinterval),
        ("collection", gc.get_threshold, lambda value: gc.set_threshold(*value)),
    ]
    socket = sys.modules.get("socket")
    if hasattr(socket, "getdefaulttimeout"):
        settings.append(("sockets", socket.getdefaulttimeout, socket.setdefaulttimeout))
    logging = sys.modules.get("logging")
    if hasattr(logging, "root"):
        settings.append(("logging", lambda: logging.root.manager.disable, logging.disable))
        settings.append(("loggers", _handlers.read, _handlers.write))
        settings.append(("libraries' loggers", _handlers.read_of_libraries, _handlers.write_of_libraries))
    return settings


def _of_torch(torch):
    deterministic = torch.are_deterministic_algorithms_enabled
    settings = [
        (
            "torch.dtype",
            lambda: str(torch.get_default_dtype()).rpartition(".")[2],
            lambda value: torch.set_default_dtype(getattr(torch, value)),
        ),
        ("torch.grad", torch.is_grad_enabled, torch.set_grad_enabled),
        (
            "torch.deterministic",
            lambda: (deterministic(), torch.is_deterministic_algorithms_warn_only_enabled()),
            lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
        ),
        (
            "torch.matmul",
            lambda: torch.get_float32_matmul_precision(),
            lambda value: torch.set_float32_matmul_precision(value),
        ),
        ("torch.device", lambda: str(torch.get_default_device()), lambda value: torch.set_default_device(value)),
    ]
    for backend, flag in _BACKENDS:
        module = getattr(torch.backends, backend, None)
        if module is not None:
            settings.append(_flag(module, "torch.%s.%s" % (backend, flag), flag))
    return settings


def _flag(module, name, flag):
    return (name, lambda: getattr(module, flag), lambda value: setattr(module, flag, value))


def secrets():
    """The variables of the environment that may be secret: [(name, value)], without those that are empty."""
    return [(name, value) for name, value in _now().items() if value and _is_secret(name)]


def changed_secrets():
    """Names of those that the main loop has made others."""
    return [name for name, _ in _changed() if _is_secret(name)]


def _is_secret(name):
    return any(word in name.upper() for word in _SECRETS)


def _now():
    # Another thread may take one away: its value is None then, as that of any that is not there.
    return {name: os.environ.get(name) for name in list(os.environ)}


def _changed():
    """What the main loop has made of the environment: the variables that are others, and None for those that are gone."""
    now = _now()
    names = (name for name in {**_environment, **now} if now.get(name) != _environment.get(name))
    return [(name, now.get(name)) for name in sorted(names) if not name.startswith(_NOT_OURS)]


def _variables():
    return tuple((name, value) for name, value in _changed() if not _is_secret(name))


def _set_variables(wanted):
    _put({**{name: _environment.get(name) for name, _ in _variables()}, **dict(wanted)})


def _put(variables):
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _filters():
    """How warnings are filtered, where the categories can be named."""
    return tuple(
        (action, _pattern(message), _kinds.class_reference(category), _pattern(module), line)
        for action, message, category, module, line in warnings.filters
    )


def _set_filters(wanted):
    filters = [
        (action, _compiled(message), _kinds.class_from(category), _compiled(module), line)
        for action, message, category, module, line in wanted
    ]
    # This says that they have changed.
    warnings.resetwarnings()
    warnings.filters.extend(filters)


def _pattern(expression):
    return expression if expression is None or isinstance(expression, str) else (expression.pattern, expression.flags)


def _compiled(pattern):
    return re.compile(*pattern) if isinstance(pattern, tuple) else pattern


def _decimal(decimal):
    context = decimal.getcontext()
    traps = tuple(sorted(signal.__name__ for signal, is_on in context.traps.items() if is_on))
    return tuple(getattr(context, name) for name in _DECIMAL) + (traps,)


def _set_decimal(decimal, value):
    context = decimal.getcontext()
    for name, part in zip(_DECIMAL, value):
        setattr(context, name, part)
    for signal in context.traps:
        context.traps[signal] = signal.__name__ in value[-1]


def _plain(options):
    """Those that are plain values: a script's own formatting functions are not."""
    return tuple(sorted((name, value) for name, value in options.items() if type(value) in _kinds.ATOMS))
