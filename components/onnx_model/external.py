"""Refusing models that name other files: a model from elsewhere must not say what is read here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.errors import InputError


def check_self_contained(path: Path) -> None:
    """Refuse an ONNX file whose tensors, wherever in it they stand, lie in other files.

    ONNX Runtime and mlflow would open the files that it names. What export_onnx writes names none.

    Raises:
        InputError: naming the first such tensor and where it says that its values are; or the
            file is no ONNX model.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError) as error:
        raise InputError(f"{path}: onnx cannot load it as a model ({error})") from None
    for tensor in tensors(model):
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            where = {entry.key: entry.value for entry in tensor.external_data}.get("location")
            raise InputError(
                f"{path}: its tensor {tensor.name!r} lies in another file, {where!r}, which is not "
                "opened; give a model that holds all its tensors, as export_onnx writes it"
            )


def tensors(message: Any) -> Iterator[Any]:
    """Every tensor below a part of a model: of graphs, of attributes, of functions, sparse ones."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            repeated = not hasattr(value, "ListFields")
            for part in value if repeated else [value]:
                yield from tensors(part)
