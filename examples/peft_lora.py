"""PEFT: the base model is frozen, so that `kernel` means LoRA's matrices; A and B may have rules of their own."""

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn import functional as F

import regtorch as rt
from problem import batches, net


def adapted() -> PeftModel:
    """The net with an adapter of rank 4 at each linear layer."""
    model = net()
    torch.manual_seed(1)
    return get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["0", "2"]))


def train() -> PeftModel:
    """Train with an L2 penalty on A, and one on B of another strength."""
    model = adapted()
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=1e-2)
    reg = rt.L2(1e-3, select="name:*.lora_A.*").on(model) + rt.L2(1e-2, select="name:*.lora_B.*").on(model)
    print(reg.receipt())
    reg.attach(optimizer)

    for epoch in range(5):
        for x, y in batches():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: task loss {loss:.4f}, penalty {reg().item():.4f}")
    return model


if __name__ == "__main__":
    train()
