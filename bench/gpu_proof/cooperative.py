"""Cooperative launches: kernels whose blocks are all on the device at once, so that they may wait for each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ...backends import Backend, cuda
from ...kernels.operation import Operation


def bind(
    backend: Backend, operation: Operation, arrays: Sequence[Any], attributes: Mapping[str, int | float]
) -> Callable[[], None]:
    """An operation whose attribute `blocks` is as many as fit on the device, as a call without arguments.

    CuPy launches it by cuLaunchCooperativeKernel, which refuses a grid that does not fit, in a capture as well.
    """
    one = cuda.prepare(operation, arrays, {**attributes, "blocks": 1})
    kernel = _kernel(backend, one)
    device = backend.xp.cuda.Device()
    threads = one.block[0] * one.block[1] * one.block[2]
    each = backend.xp.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(kernel.kernel.ptr, threads, one.shared)
    call = cuda.prepare(operation, arrays, {**attributes, "blocks": each * device.attributes["MultiProcessorCount"]})
    return partial(kernel, call.grid, call.block, call.arguments, shared_mem=call.shared)


def _kernel(backend: Backend, call: cuda.Call) -> Any:
    module = backend.xp.RawModule(
        code=call.program.source, options=call.program.options, enable_cooperative_groups=True
    )
    return module.get_function(call.entry)
