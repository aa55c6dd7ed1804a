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

PAGES = {"../examples/tutorial/": "/tutorial/index.rst", "../__init__.py": "/reference/index.rst"}


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


def folders_on_site(app: Sphinx, document: str, source: list[str]) -> None:
    """Links to what only a checkout has lead to the site's own page for it; those to other folders become text."""
    for path, page in PAGES.items():
        source[0] = source[0].replace(f"]({path})", f"]({page})")
    source[0] = re.sub(r"\[([^]]*)\]\(\.\./[^)]*/\)", r"`\1`", source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(NamesInCode)
    app.connect("source-read", folders_on_site)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
