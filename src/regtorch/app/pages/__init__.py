"""HTML pages: one environment of Jinja templates."""
