"""Validation of configs, and the objects built from them."""
