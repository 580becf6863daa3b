"""Two optimizers, as in a GAN: bind a rule to each net, and attach it to the optimizer that trains that net."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt

STEPS, SAMPLES, NOISE = 100, 64, 4


def nets() -> tuple[nn.Sequential, nn.Sequential]:
    """A generator of pairs, and a discriminator."""
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(NOISE, 16), nn.Tanh(), nn.Linear(16, 2))
    return generator, nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))


def draws() -> list[tuple[Tensor, Tensor]]:
    """Points on a circle, and noise, of each step."""
    generator = torch.Generator().manual_seed(0)
    angles = torch.rand(STEPS, SAMPLES, generator=generator) * 2 * torch.pi
    noise = torch.randn(STEPS, SAMPLES, NOISE, generator=generator)
    return list(zip(torch.stack([angles.cos(), angles.sin()], -1), noise, strict=True))


def judged(logits: Tensor, real: bool) -> Tensor:
    """The cross entropy of samples that are all real, or all not."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def train() -> tuple[nn.Module, nn.Module]:
    """Train with a penalty for the discriminator, and another for the generator."""
    generator, discriminator = nets()
    of_generator = torch.optim.Adam(generator.parameters(), lr=1e-2, betas=(0.5, 0.999))
    of_discriminator = torch.optim.Adam(discriminator.parameters(), lr=1e-2, betas=(0.5, 0.999))
    reg = rt.L2(1e-3).on(discriminator)
    reg.attach(of_discriminator)
    rt.L1(1e-4).on(generator).attach(of_generator)

    for real, noise in draws():
        of_discriminator.zero_grad()
        fake = generator(noise)
        loss = judged(discriminator(real), True) + judged(discriminator(fake.detach()), False)
        loss.backward()
        of_discriminator.step()

        of_generator.zero_grad()
        judged(discriminator(fake), True).backward()  # leaves gradients in the discriminator: no rule acts on them
        of_generator.step()
    print(f"loss of the discriminator {loss:.4f}, its penalty {reg().item():.4f}")
    return generator, discriminator


if __name__ == "__main__":
    train()
