"""Which floating point precision to run a model in: the fastest that costs next to no accuracy, found by trial."""

import time
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from analysis.models.flow import stream
from analysis.models.loaded import LoadedModel
from analysis.models.preprocessing import Pictures
from analysis.progress import Progress, silent

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PROBE_ITEMS = 256
LEAST_FOR_PROBE = 512
LEAST_SPEEDUP = 1.1
MAX_TOP1_LOSS = 0.003
"""How much top-1 accuracy, as a fraction, a reduced precision may be expected to cost."""


class Choice(NamedTuple):
    """A precision and how it was come by."""

    precision: str
    why: str
    probe: dict[str, float]
    """What the trial measured; empty where there was none."""


def choose_precision(
    model: LoadedModel, pictures: Pictures, batch_size: int, workers: int, progress: Progress = silent
) -> Choice:
    """The reduced precision of the model's device where it is faster and costs next to no accuracy, else fp32.

    Without labels the cost in top-1 is estimated as fp32 sees it: the probability it gives its own first choice,
    less the one it gives the other precision's, on the mean of a sample of at most an eighth of the pictures.
    """
    reduced = _reduced(model.device)
    count = len(pictures.paths)
    if model.outputs == 0:
        return Choice("fp32", f"an encoder has no top-1 by which to judge {reduced}", {})
    if count < LEAST_FOR_PROBE:
        return Choice("fp32", f"{count} items are too few for a trial of {reduced} to pay", {})
    rows = np.linspace(0, count - 1, min(PROBE_ITEMS, count // 8)).astype(np.int64)
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]

    def timed(batch: Tensor) -> dict[str, Tensor]:
        return {name: torch.tensor(_seconds(model, batch, PRECISIONS[name])) for name in ("fp32", reduced)}

    def compared(batch: Tensor) -> dict[str, Tensor]:
        with torch.inference_mode():
            probabilities = model.forward(batch)[0].softmax(dim=1)
            best, first = probabilities.max(dim=1)
            other = model.forward(batch, PRECISIONS[reduced])[0].argmax(dim=1)
            given = probabilities.gather(1, other[:, None])[:, 0]
            return {"lost": best - given, "same": first == other}

    def tick() -> None:
        progress(f"trying {reduced} with {model.reference}", 0, None)

    tick()
    times = [out.arrays for out in stream(pictures, [rows[:8]], timed, model.device, 1, tick) if out.arrays]
    if not times:
        return Choice("fp32", "the pictures for a trial could not be read", {})
    speedup = float(times[0]["fp32"] / times[0][reduced])
    probe = {"speedup": round(speedup, 3)}
    if speedup < LEAST_SPEEDUP:
        return Choice("fp32", f"{reduced} is not faster here ({speedup:.2f} times the speed)", probe)
    found = [out.arrays for out in stream(pictures, batches, compared, model.device, workers, tick) if out.arrays]
    lost = float(np.concatenate([arrays["lost"] for arrays in found]).mean())
    same = np.concatenate([arrays["same"] for arrays in found])
    probe |= {"items": len(same), "expected_top1_loss": lost, "top1_agreement": float(same.mean())}
    told = f"{speedup:.1f} times the speed, expected to cost {100 * lost:.2f} points of top-1"
    if lost <= MAX_TOP1_LOSS:
        return Choice(reduced, f"{reduced} is {told}", probe)
    return Choice("fp32", f"{reduced} would be {told}, more than {100 * MAX_TOP1_LOSS:.1f}", probe)


def _reduced(device: torch.device) -> str:
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "fp16" if device.type == "mps" else "bf16"


def _seconds(model: LoadedModel, batch: Tensor, precision: torch.dtype) -> float:
    def once() -> float:
        started = time.perf_counter()
        model.forward(batch, precision)[0].sum().item()  # waits for the device
        return time.perf_counter() - started

    once()
    return min(once(), once())
