"""Matrix products of the fast block: bf16 with GELU in the product's epilogue, and row-wise scaled fp8.

Legend: M rows, K inputs, N outputs.
"""

import torch
import torch.nn.functional as nnf
from torch import nn

from repro.engine.kernels import Scaled, gelu_quantise, quantise_rows


@torch.library.custom_op("repro::linear_gelu", mutates_args=())
def linear_gelu(x: torch.Tensor, weight_NK: torch.Tensor, bias_N: torch.Tensor) -> torch.Tensor:
    """GELU(x·Wᵀ + b), tanh form. cuBLASLt applies it before the product leaves the chip.

    An operator of our own, since the compiler would otherwise take the two apart again.
    """
    if not x.is_cuda:
        return nnf.gelu(nnf.linear(x, weight_NK, bias_N), approximate="tanh")
    out = torch._addmm_activation(bias_N, x.flatten(0, -2), weight_NK.t(), use_gelu=True)
    return out.unflatten(0, x.shape[:-1])


@linear_gelu.register_fake
def _(x, weight_NK, bias_N):
    return x.new_empty(*x.shape[:-1], len(weight_NK))


class Product(nn.Module):
    """x·Wᵀ + b of a frozen linear layer, or of several side by side."""

    def __init__(self, *layers: nn.Linear):
        super().__init__()
        self.register_buffer("weight", torch.cat([layer.weight.detach() for layer in layers]))
        self.register_buffer("bias", torch.cat([layer.bias.detach() for layer in layers]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nnf.linear(x, self.weight, self.bias)

    begin = forward
    """For a reader that takes a `Scaled` as well."""


class FeedForward(nn.Module):
    def __init__(self, up: nn.Linear, down: nn.Linear):
        super().__init__()
        self.up, self.down = Product(up), Product(down)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(linear_gelu(x, self.up.weight, self.up.bias))


class Fp8Product(Product):
    """The same with both sides in fp8: weights scaled once by output, inputs by token. bf16 out."""

    def __init__(self, *layers: nn.Linear):
        super().__init__(*layers)
        self.weight, scale = quantise_rows(self.weight)
        self.register_buffer("columns", scale.flatten())
        self.register_buffer("one", torch.ones((), device=scale.device))

    def of(self, values: torch.Tensor, rows: torch.Tensor) -> Scaled:
        """The product for inputs that are quantised already."""
        out = torch._scaled_mm(
            values.flatten(0, -2),
            self.weight.t(),
            scale_a=self.one,
            scale_b=self.one,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
        return Scaled(out.unflatten(0, values.shape[:-1]), rows, self.columns, self.bias)

    def begin(self, x: torch.Tensor) -> Scaled:
        return self.of(*quantise_rows(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.begin(x).value()


class Fp8FeedForward(nn.Module):
    def __init__(self, up: nn.Linear, down: nn.Linear):
        super().__init__()
        self.up, self.down = Fp8Product(up), Fp8Product(down)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down.of(*gelu_quantise(*self.up.begin(x))).value()
