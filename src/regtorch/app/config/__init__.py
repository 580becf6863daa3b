"""Validation of configs, and the objects built from them."""

from omegaconf import OmegaConf

from regtorch.app.config.found import found

# Here, as every module that composes, checks or unpickles a config is one of this package or imports one of it.
OmegaConf.register_new_resolver("found", found, replace=True)
