"""``gearshift schema``."""

from __future__ import annotations

from .console import Json, Quiet


def schema(quiet: Quiet = False, as_json: Json = True) -> None:
    """Prints the JSON schema of configurations, for editors.

    With the line ``#:schema ./gearshift.schema.json`` at the top of a TOML file, editors complete and check it.
    """
    import json

    from ..experiment.schema import schema as made

    print(json.dumps(made(), indent=2, ensure_ascii=False))
