"""An exported detector in ONNX Runtime: numpy in, numpy out, no torch."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from components.errors import InputError
from components.onnx_model.external import check_self_contained
from components.onnx_model.metadata import OnnxMetadata

# cuDNN's exhaustive search would start anew for every image size. TF32 keeps 10 bits of the
# mantissa, too few to compare with the trained network.
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
FATAL = 4
"""ONNX Runtime's log level: it warns about each GPU it looks for; errors raise anyway."""


class OnnxDetections(NamedTuple):
    """boxes (B, D, 4) in input pixels, scores (B, D), labels (B, D) in 1..C, count (B,)."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    count: np.ndarray  # type: ignore[assignment]  # hides tuple.count


class OnnxDetector:
    """A detector file opened for inference."""

    def __init__(self, path: Path, *, cuda: bool = False, threads: int = 0) -> None:
        """Open a file of export_onnx.

        Args:
            path: the model.
            cuda: run on the GPU (operators without a CUDA kernel, as MaxRoiPool, on the CPU).
            threads: CPU threads; 0 means one a core.

        Raises:
            InputError: not an ONNX model, one that names other files, not one of this project, or
                no usable GPU.
        """
        self._session = _session(path, cuda, threads)
        self.provider: str = self._session.get_providers()[0]
        if cuda and self.provider != "CUDAExecutionProvider":
            raise InputError(
                f"{path}: ONNX Runtime cannot use the GPU (it offers {self.provider}); check the "
                "driver and the CUDA libraries, or run on the CPU"
            )
        strings = self._session.get_modelmeta().custom_metadata_map
        self.metadata = OnnxMetadata.from_strings(strings, path)
        kind = self._session.get_inputs()[0].type
        self.input_type = np.dtype(np.uint8 if kind == "tensor(uint8)" else np.float32)

    def detect(self, images: np.ndarray) -> OnnxDetections:
        """Detections in RGB images (B, 3, H, W) with values 0..255, best first."""
        return OnnxDetections(*self._session.run(None, {"images": images.astype(self.input_type)}))


def _session(path: Path, cuda: bool, threads: int) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the ONNX file that export_onnx wrote")
    check_self_contained(path)
    onnxruntime.set_default_logger_severity(FATAL)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = threads
    providers: list[Any] = ["CPUExecutionProvider"]
    if cuda:
        onnxruntime.preload_dlls()
        providers.insert(0, ("CUDAExecutionProvider", CUDA_OPTIONS))
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # noqa: BLE001 (ONNX Runtime's exceptions share no other base)
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: ONNX Runtime cannot load it as a model ({reason})") from None
