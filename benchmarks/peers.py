"""Other ways to run the dense network, each set up as its own documentation recommends: batch 1, one thread.

Models are converted once and kept under Horner's cache; conversions need not be repeatable to the bit, for the
weights are random.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.workloads import Arithmetic, Workload
from horner._files import cache_folder

CALIBRATION_IMAGES = 16
OPSET = 20


@dataclass(frozen=True)
class Contestant:
    """Something that runs a workload.

    Parameters
    ----------
    call
        One inference as a user asks for it, from an array (a tensor, for torch) to an array.
    bare
        The engine alone, between buffers that it already holds; None where there is no such call.
    """

    name: str
    arithmetic: Arithmetic
    call: Callable[[], Any]
    bare: Callable[[], Any] | None = None


def make(workload: Workload) -> Iterator[Contestant]:
    """Yield every peer, ready to be called, running the workload's dense network."""
    for build in (_torch, _onnxruntime, _openvino, _litert):
        yield from build(workload)


def _torch(workload: Workload) -> Iterator[Contestant]:
    """Eager, and compiled with weights frozen; NCHW or channels last, whichever is faster here."""
    image = torch.from_numpy(workload.images())

    def eager(layout: torch.memory_format) -> Callable[[], Any]:
        return _torch_call(workload.model().to(memory_format=layout), image.contiguous(memory_format=layout))  # type: ignore[call-overload]

    def compiled(layout: torch.memory_format) -> Callable[[], Any]:
        torch._dynamo.reset()  # code compiled before would be tried first, at every call
        model = torch.compile(workload.model().to(memory_format=layout), options={"freezing": True})  # type: ignore[call-overload]
        return _torch_call(model, image.contiguous(memory_format=layout))

    for name, make in (("torch eager", eager), ("torch.compile", compiled)):
        layouts = (torch.contiguous_format, torch.channels_last)
        yield Contestant(name, "float32", make(min(layouts, key=lambda layout, make=make: _least(make(layout)))))


def _torch_call(model: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor) -> Callable[[], torch.Tensor]:
    def call() -> torch.Tensor:
        with torch.inference_mode():
            return model(image)

    return call


def _onnxruntime(workload: Workload) -> Iterator[Contestant]:
    """All graph optimisations; int8 by QDQ, per channel, activations uint8 and weights int8 as advised for VNNI."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    for arithmetic, path in (("float32", onnx_file(workload)), ("int8", qdq_file(workload))):
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        yield Contestant("ONNX Runtime", arithmetic, *_onnxruntime_calls(session, workload.images()))


def _onnxruntime_calls(session: Any, images: np.ndarray) -> tuple[Callable[[], Any], Callable[[], Any]]:
    import onnxruntime

    (read,), (made,) = session.get_inputs(), session.get_outputs()
    inputs, binding = {read.name: images}, session.io_binding()
    binding.bind_ortvalue_input(read.name, onnxruntime.OrtValue.ortvalue_from_numpy(images))
    binding.bind_ortvalue_output(made.name, onnxruntime.OrtValue.ortvalue_from_shape_and_type(made.shape, np.float32))
    return lambda: session.run(None, inputs), lambda: session.run_with_iobinding(binding)


def _openvino(workload: Workload) -> Iterator[Contestant]:
    """The latency hint, one stream; float32 kept float32; int8 by NNCF's post-training quantisation."""
    import openvino

    core = openvino.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False,
    }
    for arithmetic, path in (("float32", onnx_file(workload)), ("int8", nncf_file(workload))):
        request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
        yield Contestant("OpenVINO", arithmetic, *_openvino_calls(request, workload.images()))


def _openvino_calls(request: Any, images: np.ndarray) -> tuple[Callable[[], Any], Callable[[], Any]]:
    return (
        lambda: request.infer(images, share_inputs=True, share_outputs=True),
        lambda: request.infer(share_outputs=True),  # on the tensor that the last call set
    )


def _litert(workload: Workload) -> Iterator[Contestant]:
    """The interpreter with its XNNPACK delegate, which it takes by itself; channels last."""
    from ai_edge_litert.interpreter import Interpreter

    for arithmetic, path in (("float32", tflite_file(workload)), ("int8", tflite_int8_file(workload))):
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        yield Contestant("LiteRT (XNNPACK)", arithmetic, *_litert_calls(interpreter, _channels_last(workload.images())))


def _litert_calls(interpreter: Any, images: np.ndarray) -> tuple[Callable[[], Any], Callable[[], Any]]:
    (read,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    if read["dtype"] == np.int8:
        scale, zero = read["quantization"]
        images = np.clip(np.round(images / scale) + zero, -128, 127).astype(np.int8)

    def call() -> np.ndarray:
        interpreter.set_tensor(read["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(made["index"])

    return call, interpreter.invoke


def onnx_file(workload: Workload) -> Path:
    """Return the dense network as float32 ONNX."""

    def write(path: Path) -> None:
        image = torch.from_numpy(workload.images())
        torch.onnx.export(workload.model(), (image,), path, dynamo=True, opset_version=OPSET, external_data=False)

    return _once(f"{workload.name}.onnx", write)


def qdq_file(workload: Workload) -> Path:
    """Return the ONNX network quantised by ONNX Runtime's own tool."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.images = iter(_calibration(workload))

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(({name: image} for image in self.images), None)

    source = onnx_file(workload)
    name = _input_name(source)

    def write(path: Path) -> None:
        prepared = path.with_name("prepared.onnx")
        quant_pre_process(source, prepared)
        quantize_static(
            prepared,
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )

    return _once(f"{workload.name}.qdq.onnx", write)


def nncf_file(workload: Workload) -> Path:
    """Return the ONNX network as OpenVINO's form, quantised by NNCF."""
    source = onnx_file(workload)

    def write(path: Path) -> None:
        import nncf
        import openvino

        data = nncf.Dataset(_calibration(workload))
        model = nncf.quantize(openvino.Core().read_model(source), data, subset_size=CALIBRATION_IMAGES)
        openvino.save_model(model, path, compress_to_fp16=False)
        weights = path.with_suffix(".bin")
        weights.replace(_folder() / f"{workload.name}.nncf.bin")

    return _once(f"{workload.name}.nncf.xml", write)


def tflite_file(workload: Workload) -> Path:
    """Return the dense network as float32 TFLite, channels last, by LiteRT's own converter."""

    def write(path: Path) -> None:
        import litert_torch

        model, image = workload.model(), torch.from_numpy(_channels_last(workload.images()))
        outputs = [0] if workload.kind == "layer" and workload.layer[1] else None
        model = litert_torch.to_channel_last_io(model, args=[0], outputs=outputs)
        litert_torch.convert(model, (image,)).export(str(path))

    return _once(f"{workload.name}.tflite", write)


def tflite_int8_file(workload: Workload) -> Path:
    """Return the TFLite network quantised by LiteRT's own tool: int8 weights per channel, int8 activations."""
    source = tflite_file(workload)

    def write(path: Path) -> None:
        from ai_edge_quantizer import quantizer, recipe

        work = quantizer.Quantizer(str(source), recipe.static_wi8_ai8())
        signature, (name,) = _signature(source)
        data = {signature: [{name: _channels_last(image)} for image in _calibration(workload)]}
        work.quantize(work.calibrate(data)).export_model(str(path), overwrite=True)

    return _once(f"{workload.name}.int8.tflite", write)


def _least(call: Callable[[], Any]) -> float:
    """Return the least time of a call, the first ones aside."""
    times = []
    for _ in range(12):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times[2:])


def _calibration(workload: Workload) -> list[np.ndarray]:
    return list(workload.images(CALIBRATION_IMAGES)[:, None])


def _channels_last(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def _input_name(path: Path) -> str:
    import onnx

    return str(onnx.load(path).graph.input[0].name)


def _signature(path: Path) -> tuple[str, list[str]]:
    from ai_edge_litert.interpreter import Interpreter

    ((name, parts),) = Interpreter(str(path)).get_signature_list().items()
    return name, parts["inputs"]


@functools.cache
def _folder() -> Path:
    """Return where converted models are kept, another place for other converters and other workloads."""
    here = Path(__file__).parent
    made_from = b"".join((here / name).read_bytes() for name in ("requirements.txt", "workloads.py", "peers.py"))
    folder = cache_folder() / "benchmarks" / hashlib.sha256(made_from).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _once(name: str, write: Callable[[Path], None]) -> Path:
    """Return a converted model, made beside its place on the first time; converters' chatter is kept off the screen."""
    target = _folder() / name
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=_folder()) as made, _quiet():
            path = Path(made) / name
            write(path)
            path.replace(target)
    return target


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
