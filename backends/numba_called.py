"""Compiles functions that only compiled functions call: to LLVM IR only, without machine code.

By default, Numba generates machine code for every function and everything it calls, once per level of calls. Helper
functions are never run on their own, so machine code is generated only for the kernel that Python calls. For the 60
functions below `kernels.dense.chain.steps` this takes two thirds of the time; the steps are equally fast.
"""

from __future__ import annotations

from typing import Any

from numba import _dynfunc  # pyright: ignore[reportAttributeAccessIssue]
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import NativeLowering


class CalledLibrary(JITCodeLibrary):
    """The LLVM IR of a function and of everything it calls, to be linked into other functions."""

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
        # the name for callers; it cannot be called from Python
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
