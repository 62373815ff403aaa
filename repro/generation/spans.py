"""Named time spans of a generation: text · denoise · cache · decode · total."""

import time
from collections import defaultdict
from contextlib import contextmanager, nullcontext

import torch


class Spans:
    """Seconds spent in named spans, with CUDA events on a GPU and the host clock elsewhere.

    A GPU is synchronised only when the result is read, never inside.
    """

    def __init__(self, device="cpu"):
        self.cuda = torch.device(device).type == "cuda"
        self._marks: list[tuple[str, int, object, object]] = []

    def now(self):
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    @contextmanager
    def __call__(self, name: str, chunk: int = 0):
        start = self.now()
        yield
        self._marks.append((name, chunk, start, self.now()))

    def between(self, start, end) -> float:
        """Seconds from one `now()` to another."""
        if not self.cuda:
            return end - start
        end.synchronize()
        return start.elapsed_time(end) / 1000

    def seconds(self) -> dict[str, float]:
        """Total seconds by span name."""
        totals = defaultdict(float)
        for name, _, start, end in self._marks:
            totals[name] += self.between(start, end)
        return dict(totals)


class _NoSpans:
    def __call__(self, name: str, chunk: int = 0):
        return nullcontext()


NO_SPANS = _NoSpans()
