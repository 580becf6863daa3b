"""Ignite: attach the rule to the optimizer of the engine, and report the penalty in a handler."""

import torch
from ignite.engine import Engine, Events, create_supervised_trainer
from torch import nn

import regtorch as rt
from problem import batches, net


def train(accumulate: int = 2) -> nn.Module:
    """Train with an L2 penalty and steps of two batches."""
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    reg = rt.L2(1e-3).on(model)
    reg.attach(optimizer)
    trainer = create_supervised_trainer(model, optimizer, nn.CrossEntropyLoss(), gradient_accumulation_steps=accumulate)

    @trainer.on(Events.EPOCH_COMPLETED)
    def report(engine: Engine) -> None:
        print(f"epoch {engine.state.epoch}: task loss {engine.state.output:.4f}, penalty {reg().item():.4f}")

    trainer.run(batches(), max_epochs=5)
    return model


if __name__ == "__main__":
    train()
