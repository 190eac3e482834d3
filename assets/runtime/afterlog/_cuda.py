"""CUDA devices, for ``_transfer``: one stream for copies on each, and shared buffers as pinned memory."""

#: cudaHostRegisterPortable: pinned for every device, not only for the current one.
_PORTABLE = 1


class Cuda:
    def __init__(self, torch):
        self._torch = torch
        self._streams = {}

    def settle(self, device):
        """Returns when everything queued on any stream of the device has been done."""
        if self._torch.cuda.is_current_stream_capturing():
            # To wait here would spoil the graph that the script is recording.
            raise RuntimeError("the script is capturing a CUDA graph")
        self._torch.cuda.synchronize(device)

    def stream(self, device):
        if device not in self._streams:
            self._streams[device] = self._torch.cuda.Stream(device)
        return self._streams[device]

    def hold(self, stream, source):
        """Keeps the tensor's memory from being given out again before the stream has done what is queued on it."""
        source.record_stream(stream)

    def copy(self, stream, source, target):
        with self._torch.cuda.stream(stream):
            # Not left to the copy: it would finish these on the processor, before the bytes are there.
            target.copy_(source.resolve_conj().resolve_neg(), non_blocking=True)

    def fence(self, stream):
        event = self._torch.cuda.Event(enable_timing=True)
        event.record(stream)
        return event

    def training_waits(self, device, fence):
        """What the script queues next on the device, on the stream that it is on or on the default one, comes later."""
        self._torch.cuda.current_stream(device).wait_event(fence)
        self._torch.cuda.default_stream(device).wait_event(fence)

    def wait(self, begin, end):
        """Returns when the stream has come to ``end``; gives the nanoseconds since ``begin``."""
        end.synchronize()
        return int(begin.elapsed_time(end) * 1e6)

    def drain(self, stream):
        stream.synchronize()

    def register(self, memory):
        """Pins memory; gives what ``unregister`` takes, None where the system refuses. Unpinned copies are right, only slower."""
        whole = self._torch.frombuffer(memory, dtype=self._torch.uint8)
        failed = self._torch.cuda.cudart().cudaHostRegister(whole.data_ptr(), len(whole), _PORTABLE)
        if int(failed) == 0:
            return whole
        self._forget_error()
        return None

    def unregister(self, whole):
        if int(self._torch.cuda.cudart().cudaHostUnregister(whole.data_ptr())) != 0:
            self._forget_error()

    def _forget_error(self):
        """CUDA keeps a failed call's error for whoever asks next: that must not be the script's own next kernel."""
        try:
            self._torch.ones(1, device="cuda")
        except RuntimeError:
            pass
