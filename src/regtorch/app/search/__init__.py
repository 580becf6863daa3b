"""`regtorch search`: trials on Optuna's ask and tell, shared by any number of workers."""
