"""The program: what `regtorch train`, `path`, `search`, `doctor` and `report` are made of."""
