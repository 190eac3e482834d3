"""How a logged value is encoded: see the journal's format in src/store/journal/event.rs."""
import hashlib
import struct
import sys
from json import dumps

_NONE = b"\x00"
_bool = struct.Struct("<BB").pack
_int = struct.Struct("<Bq").pack
_float = struct.Struct("<Bd").pack
_text = struct.Struct("<BI").pack
TEXT, JSON, OPAQUE, BIGINT = 4, 5, 6, 7
#: Longer text is cut.
MAX_TEXT = 1 << 20
#: Arrays of more elements are kept as a digest.
MAX_ELEMENTS = 1000


def encode(value):
    """The value's bytes."""
    kind = type(value)
    if kind is float:
        return _float(3, value)
    if value is None:
        return _NONE
    if kind is bool:
        return _bool(1, value)
    if kind is int:
        return _integer(value)
    if isinstance(value, str):
        return _string(TEXT, value[:MAX_TEXT])
    if isinstance(value, bool):
        return _bool(1, bool(value))
    if isinstance(value, int):
        return _integer(int(value))
    if isinstance(value, float):
        return _float(3, float(value))
    array = _array(value)
    if array is not None:
        return array
    if isinstance(value, (list, tuple, dict)):
        try:
            return _string(JSON, dumps(value, default=_plain)[:MAX_TEXT])
        except (TypeError, ValueError, RecursionError):
            pass
    text = repr(value)
    return _string(OPAQUE, "%s %s" % (kind.__name__, text if len(text) <= 200 else text[:199] + "…"))


def scalar(value):
    """The bytes of an iterated value worth keeping beside its index, else None."""
    if isinstance(value, (bool, int, float)):
        return encode(value)
    if isinstance(value, str) and len(value) <= 200:
        return encode(value)
    return None


def _integer(value):
    if -(1 << 63) <= value < 1 << 63:
        return _int(2, value)
    return _string(BIGINT, str(value))


def _string(kind, text):
    data = text.encode("utf-8", "replace")
    return _text(kind, len(data)) + data


def _array(value):
    """Encodes NumPy scalars and arrays and torch tensors; None for anything else."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and isinstance(value, getattr(torch, "Tensor", ())):
        if value.dim() == 0:
            return encode(value.item())
        if value.numel() <= MAX_ELEMENTS:
            return _string(JSON, dumps(value.detach().tolist(), default=_plain))
        plain = value.detach().cpu().contiguous()
        data = plain.view(torch.uint8).numpy().tobytes() if plain.dim() else b""
        return _digest(value, str(value.dtype).replace("torch.", ""), tuple(value.shape), data)
    if numpy is not None:
        if isinstance(value, getattr(numpy, "generic", ())):
            return encode(value.item()) if not isinstance(value.item(), numpy.generic) else None
        if isinstance(value, getattr(numpy, "ndarray", ())) and not value.dtype.hasobject:
            if value.ndim == 0:
                return encode(value.item())
            if value.size <= MAX_ELEMENTS:
                return _string(JSON, dumps(value.tolist(), default=_plain))
            return _digest(value, value.dtype.name, value.shape, value.tobytes())
    return None


def _digest(value, dtype, shape, data):
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    return _string(OPAQUE, "%s %s %s blake2b:%s" % (type(value).__name__, dtype, shape, digest))


def _plain(value):
    """For json: what tensors, arrays and other objects inside containers become."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return repr(value)
