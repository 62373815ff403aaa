"""Muon for the hidden matrices, AdamW for everything else, behind one step.

Muon (Jordan et al., 2024) steps along the orthogonalised momentum; with its steps scaled to AdamW's
(Liu et al., 2025) both share one learning rate. The VAE reaches a given error in a quarter of
AdamW's iterations, which decides what can be trained in minutes.

Legend: N matrices of one shape, R rows, C columns.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from repro.config import Fit

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
MOMENTUM = 0.95


def orthogonalise(matrices_NRC: torch.Tensor) -> torch.Tensor:
    """Nearest semi-orthogonal matrices, roughly: singular values between about 0.7 and 1.2, in bf16."""
    a, b, c = NEWTON_SCHULZ
    x = matrices_NRC.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon:
    """torch.optim.Muon, with all matrices of a shape in one batch.

    The library's steps through the matrices one by one, which takes twice as long as the rest of an
    iteration. A matrix without gradient counts as having none to follow.
    """

    def __init__(self, matrices: Sequence[torch.Tensor]):
        self.groups: dict[tuple[int, ...], list[torch.Tensor]] = {}
        for m in matrices:
            self.groups.setdefault(tuple(m.shape), []).append(m)
        self.momentum = {shape: torch.zeros_like(torch.stack(ms)) for shape, ms in self.groups.items()}

    @torch.no_grad()
    def step(self, lr: float) -> None:
        for shape, matrices in self.groups.items():
            gradient = torch.stack([torch.zeros_like(m) if m.grad is None else m.grad for m in matrices])
            momentum = self.momentum[shape].lerp_(gradient, 1 - MOMENTUM)
            step = orthogonalise(gradient.lerp_(momentum, MOMENTUM)).to(gradient.dtype)
            torch._foreach_add_(matrices, list(step.unbind()), alpha=-0.2 * max(shape) ** 0.5 * lr)

    def state_dict(self) -> dict:
        return {"x".join(map(str, shape)): m for shape, m in self.momentum.items()}

    def load_state_dict(self, state: dict) -> None:
        for shape, m in self.momentum.items():
            m.copy_(state["x".join(map(str, shape))])


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
        self.kernels, self.others = list(kernels), list(others)
        self.base_lr = self.lr = lr or fit.lr
        self.matrices = [p.detach().view(len(p), -1) for p in self.kernels]
        self.muon = Muon(self.matrices)
        # Sharded networks are large ones, for which `foreach` takes as much memory again as they have.
        fused = any(isinstance(p, DTensor) and p.is_cuda for p in self.others)
        self.adamw = torch.optim.AdamW(self.others, lr=self.lr, betas=tuple(fit.betas), foreach=not fused, fused=fused)

    def scale_lr(self, factor: float) -> None:
        """Set the learning rate to `factor` times the configured one."""
        self.lr = self.base_lr * factor
        for group in self.adamw.param_groups:
            group["lr"] = self.lr

    def step(self, clip_norm: float) -> torch.Tensor:
        """Clip all gradients to `clip_norm` together, step, clear. Returns the norm before clipping."""
        parameters = [*self.kernels, *self.others]
        norm = nn.utils.clip_grad_norm_(parameters, clip_norm, foreach=True)
        for kernel, matrix in zip(self.kernels, self.matrices, strict=True):
            matrix.grad = None if kernel.grad is None else kernel.grad.reshape(matrix.shape)
        self.muon.step(self.lr)
        self.adamw.step()
        for p in parameters:
            p.grad = None
        return norm

    def state_dict(self) -> dict:
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.muon.load_state_dict(state["muon"])
        self.adamw.load_state_dict(state["adamw"])


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
