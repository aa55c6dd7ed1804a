"""How functions are compiled that compiled functions alone call: down to LLVM's instructions, and no further.

Numba's own way makes every function ready to run, with all that it calls, once for each level of calls. Nobody runs
these: machine code is made of them where a kernel that Python calls has been put together. For the 60 functions below
`kernels.dense_chain.steps` that takes two thirds of the time, and the steps run as fast.
"""

from __future__ import annotations

from typing import Any

from numba import _dynfunc  # pyright: ignore[reportAttributeAccessIssue]
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import NativeLowering


class CalledLibrary(JITCodeLibrary):
    """A function's instructions with those of all that it calls, to be linked into others."""

    def finalize(self) -> None:
        for library in dict.fromkeys(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class CalledLowering(NativeLowering):
    """Numba's lowering, into a `CalledLibrary`, and without machine code."""

    _name = "called_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = CalledLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        state.flags = state.flags.copy()
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        name = lowered.fndesc.qualname
        # what callers know the function by; it cannot be called
        entry = _dynfunc.make_function(lowered.fndesc.lookup_module(), name, "", 0, lowered.env, (state.library,))
        state.targetctx.insert_user_function(entry, lowered.fndesc, [state.library])
        state["cr"] = lowered._replace(cfunc=entry)
        return True


class CalledCompiler(CompilerBase):
    """Numba's pipeline with `CalledLowering`."""

    def define_pipelines(self) -> list[PassManager]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [(CalledLowering if p is NativeLowering else p, text) for p, text in passes.passes]
        passes.finalize()
        return [passes]
