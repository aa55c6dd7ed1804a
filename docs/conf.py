"""The site: `sphinx-build -W docs build/docs`."""

from __future__ import annotations

import sys
from pathlib import Path

from numpydoc.xref import DEFAULT_LINKS

import gearshift

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "Gearshift"
author = "Gearshift maintainers"
copyright = f"the {author}"
version = release = gearshift.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "reference",
    "command_pages",
    "links",
]
exclude_patterns = ["_extensions", "tutorial/*.ipynb", "tutorial/*.py"]
suppress_warnings = ["config.cache"]  # sphinx-gallery's configuration holds classes
nitpicky = False

html_theme = "pydata_sphinx_theme"
html_title = "Gearshift"
html_static_path = ["_static"]
html_css_files = ["gearshift.css"]
html_show_sourcelink = False
html_sidebars = {"index": []}
html_theme_options = {
    "logo": {"text": "Gearshift"},
    "navbar_align": "left",
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}
templates_path: list[str] = []

myst_heading_anchors = 3

autosummary_generate = False  # tables only; the pages are those of the extension `reference`
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_aliases = {word: word for word in DEFAULT_LINKS} | {n: f"gearshift.{n}" for n in gearshift.__all__}
numpydoc_validation_checks = {"PR03", "PR07"}  # unknown parameters are found by `reference`

sphinx_gallery_conf = {
    "examples_dirs": "../examples/tutorial",
    "gallery_dirs": "tutorial",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "reference_url": {"gearshift": None},
    "doc_module": ("gearshift",),
    "image_scrapers": ("matplotlib",),
    "image_srcset": ["2x"],
    "matplotlib_animations": False,
    "capture_repr": (),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "remove_config_comments": True,
    "min_reported_time": 3600,
}
