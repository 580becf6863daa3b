"""Explicit regularization for PyTorch: exact, selectable penalties and constraints for any training loop.

import regtorch as rt

reg = rt.L2(0.01).on(model)                     # what, and where: all kernels
loss = task_loss + reg()                        # way 1: in the graph
reg.add_grad_()                                 # way 2: the same gradient in closed form, after backward
handle = reg.attach(optimizer)                  # way 3: at every optimizer step, in any trainer
rt.MaxNorm(3.0).on(model).attach(optimizer)     # projected after every step
rt.diagnose(model, loss_fn, batches, optimizer, [rt.L2(0.01)])   # why does it hurt?
rt.watch(model, optimizer)                      # a word when something turns bad
"""

from regtorch import constraints, keras, nn, outputs, penalties, plot, schedules, select, testing
from regtorch import moved as moved
from regtorch.bound import Activity, BoundConstraint, BoundPenalty, BoundSum
from regtorch.constraints import *
from regtorch.conventions import convert
from regtorch.doctor import Finding, Findings, diagnose, read_history
from regtorch.doctor.along import DoctorWarning, watch
from regtorch.estimates import fisher, lam_max
from regtorch.masked import masked
from regtorch.outputs import *
from regtorch.penalties import *
from regtorch.select import SelectionError
from regtorch.select.param_groups import param_groups
from regtorch.steps.compiled_step import CompiledStep, compile_step
from regtorch.steps.fused import Fused, fuse
from regtorch.steps.optimizers import register_optimizer

__version__ = "0.1.0"
__all__ = [
    "Activity",
    "BoundConstraint",
    "BoundPenalty",
    "BoundSum",
    "CompiledStep",
    "DoctorWarning",
    "Finding",
    "Findings",
    "Fused",
    "SelectionError",
    "compile_step",
    "constraints",
    "convert",
    "diagnose",
    "fisher",
    "fuse",
    "keras",
    "lam_max",
    "masked",
    "nn",
    "outputs",
    "param_groups",
    "penalties",
    "plot",
    "read_history",
    "register_optimizer",
    "schedules",
    "select",
    "testing",
    "watch",
]
__all__ += penalties.__all__
__all__ += outputs.__all__
__all__ += constraints.__all__
# Base classes for rules of one's own stay in their packages.
__all__.remove("Elementwise")
__all__.remove("InputPenalty")
__all__.remove("NormConstraint")
__all__.remove("OutputPenalty")
__all__.remove("OutputRule")
