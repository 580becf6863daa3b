"""Weights cut over all processes, in a Trainer: FSDP2."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict, set_optimizer_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel, OptimStateKeyType, fully_shard
from torch.optim import Optimizer

from regtorch.numerics.sharded import is_sharded

__all__ = ["FullyShard", "load_whole", "shard"]


class FullyShard(ModelParallelStrategy):
    """Lightning's `ModelParallelStrategy` with every process in the data-parallel group, and whole checkpoints.

    Each process holds a part of each weight, of its gradient and of the optimizer's state, by PyTorch's `fully_shard`
    (FSDP2). A `RegularizedModule` is sharded by itself; a module of your own does so in `configure_model`, as by
    `shard(self.net, self.device_mesh["data_parallel"])`. A checkpoint is one file, as of a single process.

    Args:
        options: further arguments of `ModelParallelStrategy`.

    Example:
        >>> import lightning
        >>> from regtorch.lightning import FullyShard
        >>> trainer = lightning.Trainer(strategy=FullyShard(), devices=2, accelerator="gpu")  # doctest: +SKIP
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(data_parallel_size=1, tensor_parallel_size=1, save_distributed_checkpoint=False, **options)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Load a checkpoint; Lightning's own cannot load an optimizer without state, such as SGD without momentum."""
        path = Path(self.broadcast(checkpoint_path))
        if not path.is_file():
            return super().load_checkpoint(path, weights_only)
        optimizers, self.optimizers = self.optimizers, []
        try:
            checkpoint = super().load_checkpoint(path, weights_only)
        finally:
            self.optimizers = optimizers
        for optimizer, state in zip(optimizers, checkpoint.get("optimizer_states", ()), strict=False):
            with _no_step_of_training(optimizer):
                _load_optimizer(self.model, optimizer, state)
        return checkpoint

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The state of whole weights, on process 0."""
        with _no_step_of_training(getattr(optimizer, "_optimizer", optimizer)):
            return super().optimizer_state(optimizer)


StrategyRegistry.register("fully_shard", FullyShard, description="FSDP2 over all processes")


def shard(net: nn.Module, mesh: DeviceMesh) -> None:
    """Shard a net over `mesh` by `fully_shard`: each item of its Sequentials and ModuleLists, then the rest; once.

    Weights that several items share stay with the net, which gathers them for the entire pass.
    """
    if isinstance(net, FSDPModule):
        return
    for block in _blocks(net):
        fully_shard(block, mesh=mesh)
    fully_shard(net, mesh=mesh)


def load_whole(module: nn.Module, state: Mapping[str, Any]) -> None:
    """Load a state dict of full tensors, on every process, into a module that may be sharded."""
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()  # a pass without a backward pass leaves whole weights
    if any(is_sharded(p) for p in module.parameters()):
        set_model_state_dict(module, dict(state), options=StateDictOptions(full_state_dict=True))
    else:
        module.load_state_dict(state)


@contextmanager
def _no_step_of_training(optimizer: Any) -> Iterator[None]:
    """Torch fills an optimizer without state by a step of rate 0, at which no rule acts and no schedule counts."""
    names = "_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"
    hooks = {name: getattr(optimizer, name) for name in names}
    vars(optimizer).update({name: OrderedDict() for name in names})
    try:
        yield
    finally:
        vars(optimizer).update(hooks)


def _load_optimizer(module: Any, optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load the state of whole weights, by their numbers in the module, into an optimizer of their parts."""
    if not state["state"]:
        optimizer.load_state_dict(state)
        return
    by_name = FullyShardedDataParallel.rekey_optim_state_dict(state, OptimStateKeyType.PARAM_NAME, module)
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_optimizer_state_dict(module, optimizer, by_name, options=options)


def _blocks(net: nn.Module) -> Iterator[nn.Module]:
    """The modules that a pass calls one after another, and that share no weight with the rest."""
    for child in net.children():
        if isinstance(net, nn.Sequential | nn.ModuleList) and not isinstance(child, nn.ModuleList | nn.ModuleDict):
            own = {id(p) for p in child.parameters()}
            elsewhere = {id(p) for other in net.children() if other is not child for p in other.parameters()}
            if own and own.isdisjoint(elsewhere):
                yield child
        else:
            yield from _blocks(child)
