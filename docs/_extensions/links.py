"""Links that the sources need not spell out, so that they read as well on a code host."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

import gearshift

NAME = re.compile(r"(?:gs\.|gearshift\.)?([A-Za-z]\w*)((?:\.[a-z]\w*)?)(?:\(.*\))?")


class NamesInCode(SphinxTransform):
    """Code that is a public name, as ``gs.Adam(lr=1e-3)``, links to the reference; in docstrings `Adam` is code too."""

    default_priority = 400

    def apply(self, **arguments: Any) -> None:
        for quoted in list(self.document.findall(nodes.title_reference)):
            quoted.replace_self(nodes.literal("", quoted.astext()))
        for code in list(self.document.findall(nodes.literal)):
            found = NAME.fullmatch(code.astext())
            if (
                found is None
                or found[1] not in gearshift.__all__
                or isinstance(code.parent, nodes.reference | addnodes.pending_xref)
            ):
                continue
            target = f"gearshift.{found[1]}{found[2]}"
            link = addnodes.pending_xref("", refdomain="py", reftype="obj", reftarget=target, refwarn=False)
            code.replace_self(link)
            link += code


def folders_as_text(app: Sphinx, document: str, source: list[str]) -> None:
    """Links to folders of the repository, which a site does not have, become their text."""
    source[0] = re.sub(r"\[([^]]*)\]\(\.\./[^)]*/\)", r"`\1`", source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(NamesInCode)
    app.connect("source-read", folders_as_text)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
