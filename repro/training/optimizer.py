"""Muon for the hidden matrices, AdamW for everything else, behind one step.

Muon (Jordan et al., 2024) steps along the orthogonalised momentum; with its steps scaled to AdamW's
(Liu et al., 2025) both share one learning rate. The VAE reaches a given error in a quarter of
AdamW's iterations, which decides what can be trained in minutes.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from repro.config import Fit


class Optimizer:
    """Optimisers of one or several modules that clip and step as one.

    A convolution's kernel is to Muon the matrix [out, in·taps]: it is handed a view of the memory.
    """

    def __init__(
        self,
        kernels: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        fit: Fit,
        lr: float | None = None,
    ):
        self.kernels, self.others, self.lr = list(kernels), list(others), lr or fit.lr
        self.matrices = [nn.Parameter(p.detach().view(len(p), -1)) for p in self.kernels]
        common = {"lr": self.lr, "weight_decay": fit.weight_decay}
        self.parts = {"adamw": torch.optim.AdamW(self.others, betas=tuple(fit.betas), foreach=True, **common)}
        if self.matrices:
            self.parts["muon"] = torch.optim.Muon(self.matrices, adjust_lr_fn="match_rms_adamw", **common)

    def scale_lr(self, factor: float) -> None:
        """Set the learning rate to `factor` times the configured one."""
        for part in self.parts.values():
            for group in part.param_groups:
                group["lr"] = self.lr * factor

    def step(self, clip_norm: float) -> torch.Tensor:
        """Clip all gradients to `clip_norm` together, step, clear. Returns the norm before clipping."""
        parameters = [*self.kernels, *self.others]
        norm = nn.utils.clip_grad_norm_(parameters, clip_norm, foreach=True)
        for kernel, matrix in zip(self.kernels, self.matrices, strict=True):
            matrix.grad = None if kernel.grad is None else kernel.grad.reshape(matrix.shape)
        for part in self.parts.values():
            part.step()
        for p in parameters:
            p.grad = None
        return norm

    def descend(self, loss: torch.Tensor, clip_norm: float) -> torch.Tensor:
        """Backpropagate, then `step`."""
        loss.backward()
        return self.step(clip_norm)

    def state_dict(self) -> dict:
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: dict) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(state[name])


def adamw(module: nn.Module, fit: Fit, lr: float | None = None) -> Optimizer:
    """AdamW alone, for fine-tuning a distilled network."""
    return Optimizer([], module.parameters(), fit, lr)


def muon(modules: Sequence[nn.Module], fit: Fit, edges: Sequence[str]) -> Optimizer:
    """Muon for the matrices, AdamW for vectors and for parameters named by one of `edges`.

    Embeddings, inputs and heads are edges: their rows are not directions of one space.
    """
    kernels, others = [], []
    for module in modules:
        for name, p in module.named_parameters():
            matrix = p.ndim >= 2 and len(p) > 1 and p[0].numel() > 1
            (kernels if matrix and not any(edge in name for edge in edges) else others).append(p)
    return Optimizer(kernels, others, fit)
