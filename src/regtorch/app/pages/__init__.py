"""The HTML pages: templates, and the environment that renders them."""
