"""What a user may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def _shown(name: str) -> str:
    """A name in a message of one line."""
    return name if name.isprintable() else repr(name)


def hint(name: str, known: Iterable[str]) -> str:
    """What may have been meant by a name that is not known; small and capital letters are one here."""
    known = list(known)
    written = {word.casefold(): word for word in known}
    close = difflib.get_close_matches(name.casefold(), written, 1)
    return f"did you mean {written[close[0]]!r}?" if close else f"expected one of: {', '.join(map(_shown, known))}"
