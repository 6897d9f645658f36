"""A static step as a CUDA graph: the host starts one replay a step, in place of each of its kernels.

Source: https://pytorch.org/blog/accelerating-pytorch-with-cuda-graphs/ and the notes on CUDA graphs in torch's manual.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from rmtbench.kvcache.exact.static_step import StaticStep

Step = Callable[[], tuple[torch.Tensor, torch.Tensor]]
"""See `StaticStep.__call__`. Of a captured step, the next replay writes over what it returned."""

WARM_UP_STEPS = 2
"""Steps before the capture, in which libraries choose kernels and take their memory."""


def capture(step: StaticStep, pool: Any) -> Step:  # noqa: ANN401 - torch's handle of a memory pool
    """Record a step's kernels once.

    Args:
        step: A step that no row fills, so that it changes nothing while it is warmed up and recorded.
        pool: From `torch.cuda.graph_pool_handle`; graphs that never run at once may share one.

    Returns:
        What replays it, on the current stream.

    Raises:
        RuntimeError: Something in the step waits for the device, or cannot be recorded for another reason.
    """
    with torch.cuda.device(step.device):
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_STEPS):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            made = step()

    def replay() -> tuple[torch.Tensor, torch.Tensor]:
        graph.replay()
        return made

    return replay
