"""The order in which tensors on devices are copied into a shared buffer, and when the buffer may be read or used again.

Decides only; a device does it (``_cuda.Cuda``, or a model of one in the tests). What must hold, whatever a device does
late or in another order:

- a copy reads what the script had written when it was asked for, on whatever stream the script wrote it;
- the script's next write to a tensor, or to memory that it has given back, comes after the copy;
- nobody reads the buffer, and nothing else is written into it, before every copy into it has ended.
"""


class Abandoned(Exception):
    """Nothing was copied, and nothing is under way any more."""

    def __init__(self, reason):
        super().__init__(str(reason))
        self.reason = reason


class Transfer:
    """Copies under way into one buffer."""

    def __init__(self, device_kind, fences):
        self._kind = device_kind
        self._fences = fences

    def wait(self):
        """Returns when everything is copied; gives the time for which training on a device may have waited, in ns."""
        return max([self._kind.wait(begin, end) for begin, end in self._fences] or [0])


def queue(kind, copies):
    """Queues copies ``(device, source, target)``. Raises Abandoned; after anything else copies may still be under way.

    ``kind`` is the interface of devices of one kind. A stream of the script's that nothing orders after the stream that it
    trains on may still overwrite a tensor too early.
    """
    streams = {}
    try:
        for device in dict.fromkeys(device for device, _, _ in copies):
            # Other streams of the script's may still be writing: a batch that is fetched ahead, for one.
            kind.settle(device)
            stream = kind.stream(device)
            streams[device] = (stream, kind.fence(stream))
        for device, source, target in copies:
            # What is freed by another stream than the training's could be given out again at once.
            kind.hold(streams[device][0], source)
            kind.copy(streams[device][0], source, target)
        fences = []
        for device, (stream, begin) in streams.items():
            end = kind.fence(stream)
            kind.training_waits(device, end)
            fences.append((begin, end))
        return Transfer(kind, fences)
    except Exception as error:
        for stream, _ in streams.values():
            kind.drain(stream)
        raise Abandoned(error) from error
