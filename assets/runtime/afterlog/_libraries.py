"""Which calls of which libraries log or are given settings: hooks by the module that they are put into."""
from . import _kinds

#: Who shows values in a progress bar: what another logs under the same name at the same place counts instead.
BAR = "tqdm"
#: Packages that hand on what a script has told them: their own calls of loggers say nothing new.
FRAMEWORKS = frozenset(
    ["accelerate", "keras", "lightning", "lightning_fabric", "mlflow", "pytorch_lightning", "transformers", "wandb"]
)


def _argument(arguments, named, at, name, default=None):
    return arguments[at] if len(arguments) > at else named.get(name, default)


def _one(at, name, value):
    """A call that is given a name and a value."""

    def given(arguments, named):
        key = _argument(arguments, named, at, name)
        return [(key, _argument(arguments, named, at + 1, value))] if type(key) is str else []

    return given


def _many(foreign, at, name):
    """A call that is given a dict."""
    return lambda arguments, named: foreign.pairs(_argument(arguments, named, at, name))


# Weights & Biases.


def _wandb_run(foreign, module):
    foreign.values(module.Run, "log", "wandb", _many(foreign, 1, "data"))


def _wandb_noop(foreign, module):
    foreign.values(module.NoopRun, "log", "wandb", _many(foreign, 1, "data"))


def _wandb_config(foreign, module):
    for name in ("update", "setdefaults"):
        foreign.settings(module.Config, name, lambda arguments, named: _argument(arguments, named, 1, "d"))
    for name in ("__setitem__", "__setattr__"):
        foreign.settings(module.Config, name, lambda arguments, named: {arguments[1]: arguments[2]})


def _wandb(foreign, module):
    if foreign.replay:
        foreign.replace(module, "login", lambda original: lambda *arguments, **named: True)
        foreign.replace(module, "init", lambda original: _wandb_init_off(foreign, module, original))
    else:
        foreign.settings(module, "init", lambda arguments, named: named.get("config"))


def _wandb_init_off(foreign, module, original):
    def init(*arguments, **named):
        named["mode"] = "disabled"
        named.pop("settings", None)
        run = original(*arguments, **named)
        # In older versions such a run has a function of its own.
        own = getattr(run, "__dict__", {})
        if "log" in own:
            given = _many(foreign, 0, "data")

            def log(*values, **named):
                for name, value in given(values, named):
                    foreign.log("wandb", name, value)
                return None

            own["log"] = module.log = log
        return run

    return init


# MLflow.


def _mlflow_fluent(foreign, module):
    foreign.values(module, "log_metric", "mlflow", _one(0, "key", "value"))
    foreign.values(module, "log_metrics", "mlflow", _many(foreign, 0, "metrics"))
    foreign.settings(module, "log_param", lambda arguments, named: dict(_one(0, "key", "value")(arguments, named)))
    foreign.settings(module, "log_params", lambda arguments, named: _argument(arguments, named, 0, "params"))


def _mlflow_client(foreign, module):
    client = module.MlflowClient
    entities = lambda found: {entity.key: entity.value for entity in found}  # noqa: E731

    def batch(arguments, named):
        if foreign.parameters is not None:
            foreign.parameters.take(entities(_argument(arguments, named, 3, "params", ())))
        # Several steps of a metric may come at once.
        return [(entity.key, entity.value) for entity in _argument(arguments, named, 2, "metrics", ())]

    foreign.values(client, "log_metric", "mlflow", _one(2, "key", "value"))
    foreign.values(client, "log_batch", "mlflow", batch)
    foreign.settings(client, "log_param", lambda arguments, named: dict(_one(2, "key", "value")(arguments, named)))
    if foreign.replay:
        # Wherever the script would send them.
        foreign.replace(client, "__init__", lambda original: lambda self, *arguments, **named: original(self))


def _mlflow_place(foreign, module):
    if foreign.replay:
        foreign.replace(module, "set_tracking_uri", lambda original: lambda *arguments, **named: None)


# TensorBoard.


def _tensorboard(foreign, module):
    writer = module.SummaryWriter

    def scalars(arguments, named):
        main = _argument(arguments, named, 1, "main_tag")
        return foreign.pairs(_argument(arguments, named, 2, "tag_scalar_dict"), "%s/" % main)

    def hparams(arguments, named):
        if foreign.parameters is not None:
            foreign.parameters.take(_argument(arguments, named, 1, "hparam_dict"))
        return foreign.pairs(_argument(arguments, named, 2, "metric_dict"))

    foreign.values(writer, "add_scalar", "tensorboard", _one(1, "tag", "scalar_value"))
    foreign.values(writer, "add_scalars", "tensorboard", scalars)
    foreign.values(writer, "add_hparams", "tensorboard", hparams)


# Progress bars.


def _tqdm(foreign, module):
    def given(arguments, named):
        shown = dict(foreign.pairs(_argument(arguments, named, 1, "ordered_dict")))
        shown.update((name, value) for name, value in named.items() if name not in ("ordered_dict", "refresh"))
        return [(name, value) for name, value in shown.items() if not _is_words(value)]

    foreign.values(module.tqdm, "set_postfix", BAR, given)


def _is_words(value):
    """Whether a text is no number."""
    if type(value) is not str:
        return value is None
    try:
        float(value)
        return False
    except ValueError:
        return True


# Frameworks.


def _lightning(foreign, module):
    def of_device(pairs):
        # They stay on the device until Lightning needs them: to read them now would make training wait.
        return [(name, value) for name, value in pairs if not (_kinds.is_tensor(value) and value.is_cuda)]

    one, many = _one(1, "name", "value"), _many(foreign, 1, "dictionary")
    owner = getattr(module, "LightningModule", None) or module.Fabric
    foreign.values(owner, "log", "lightning", lambda arguments, named: of_device(one(arguments, named)))
    foreign.values(owner, "log_dict", "lightning", lambda arguments, named: of_device(many(arguments, named)))


def _transformers(foreign, module):
    foreign.values(module.Trainer, "log", "transformers", _many(foreign, 1, "logs"), calls_back=True)


def _accelerate(foreign, module):
    foreign.values(module.Accelerator, "log", "accelerate", _many(foreign, 1, "values"))
    foreign.settings(
        module.Accelerator, "init_trackers", lambda arguments, named: _argument(arguments, named, 2, "config")
    )


def _keras(foreign, module):
    foreign.values(module.CallbackList, "on_epoch_end", "keras", _many(foreign, 2, "logs"), calls_back=True)


# Command lines.


def _argparse(foreign, module):
    if foreign.parameters is not None:
        parse = module.ArgumentParser.parse_known_args
        foreign.replace(module.ArgumentParser, "parse_known_args", lambda _: foreign.parameters.of_parser(parse))


def _tyro(foreign, module):
    if foreign.parameters is not None:
        foreign.replace(module, "cli", foreign.parameters.of_result)


HOOKS = {
    "wandb": _wandb,
    "wandb.sdk.wandb_run": _wandb_run,
    "wandb.sdk.wandb_config": _wandb_config,
    "wandb.sdk.lib.noop_run": _wandb_noop,
    "mlflow.tracking.fluent": _mlflow_fluent,
    "mlflow.tracking.client": _mlflow_client,
    "mlflow.tracking._tracking_service.utils": _mlflow_place,
    "torch.utils.tensorboard.writer": _tensorboard,
    "tensorboardX.writer": _tensorboard,
    "tqdm.std": _tqdm,
    "lightning.pytorch.core.module": _lightning,
    "pytorch_lightning.core.module": _lightning,
    "lightning.fabric.fabric": _lightning,
    "lightning_fabric.fabric": _lightning,
    "transformers.trainer": _transformers,
    "accelerate.accelerator": _accelerate,
    "keras.src.callbacks.callback_list": _keras,
    "argparse": _argparse,
    "tyro": _tyro,
}
