"""The program: `regtorch train`, `path`, `search`, `doctor`, `report`."""
