"""Figures as plain data, and their drawing as SVG and PNG."""
