"""How the documentation is built: `make docs`."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE / "_ext")]

project = "regtorch"
author = "The regtorch authors"
copyright = "the regtorch authors, MIT licence"
release = installed("regtorch")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    "docstrings",
    "pages",
]
exclude_patterns = ["_build", "_ext"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!regtorch\.).*"),  # torch's names and dims of shapes: no inventory offline
    # Types of attributes that are not public
    ("py:class", r"regtorch\.(rule|bound\.terms|select\.layout|doctor\.remedy)\.\w+"),
]

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

nb_execution_mode = "off"  # `python scripts/notebooks.py` runs them

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_inherit_docstrings = False
default_role = "literal"  # `x` in a docstring is code
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
add_module_names = False
python_maximum_signature_line_length = 88

pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

html_title = "regtorch"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_search_summary = False  # it would fetch pages, which a browser refuses from the disk
html_show_sourcelink = False
html_show_sphinx = False
html_theme = "furo"
html_theme_options = {
    "light_css_variables": {"color-code-background": "#f6f7f9"},
}
