"""The grids of `regtorch train -m`."""
