"""Low-rank adapters merged into the weights they were trained for: W + α/r · B·A (Hu et al., 2021, section 4.1).

Legend: r rank, W [out, in], A [r, in], B [out, r].
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from repro.errors import ReproError
from repro.models.external.names import Rules, translate, unwrap

REMEDY = "Was the adapter trained for another base model?"
MATRIX = re.compile(r"^(?P<layer>.+)\.lora_(?P<part>[AB])(?P<adapter>\.[^.]+)?\.weight$")
ALPHA = re.compile(r"^(?P<layer>.+?)(\.lora)?[._]alpha(\.[^.]+)?$")


@dataclass
class Adapter:
    """The two matrices of one layer, and α where the file tells it."""

    A: torch.Tensor
    B: torch.Tensor
    alpha: float | None = None

    @property
    def rank(self) -> int:
        return self.A.shape[0]

    def fits(self, weight: torch.Tensor) -> bool:
        return (
            self.A.ndim == self.B.ndim == weight.ndim == 2
            and self.B.shape[1] == self.rank
            and (self.B.shape[0], self.A.shape[1]) == tuple(weight.shape)
        )

    def merged(self, weight: torch.Tensor, alpha: float | None) -> torch.Tensor:
        """W + α/r · B·A in fp32."""
        alpha = next((a for a in (self.alpha, alpha) if a is not None), self.rank)
        return weight.float() + (alpha / self.rank) * (self.B.float() @ self.A.float())


def split(tensors: Mapping[str, torch.Tensor], rules: Rules, where: str) -> tuple[dict, dict[str, Adapter]]:
    """Tensors that are no adapter's, under their own names, and the adapters by our name of what they change."""
    base, parts, alphas, names = {}, {}, {}, set()
    for name, tensor in tensors.items():
        if found := MATRIX.match(name):
            names.add(found["adapter"])
            parts.setdefault(_target(found["layer"], rules), {})[found["part"]] = tensor
        elif found := ALPHA.match(name):
            alphas[_target(found["layer"], rules)] = float(tensor)
        else:
            base[name] = tensor
    if len(names) > 1:
        several = ", ".join(sorted(str(n).lstrip(".") for n in names))
        raise ReproError(f"{where} holds several adapters ({several}): merge all but one into the base first")
    for target, pair in parts.items():
        if len(pair) < 2:
            raise ReproError(f"{where}: the adapter of {target} has only lora_{next(iter(pair))}. {REMEDY}")
    for target in alphas.keys() - parts.keys():
        raise ReproError(f"{where} has an alpha for {target}, but no adapter. {REMEDY}")
    return base, {target: Adapter(pair["A"], pair["B"], alphas.get(target)) for target, pair in parts.items()}


def _target(layer: str, rules: Rules) -> str:
    return translate(unwrap(f"{layer}.weight"), rules)


def require_fit(adapters: Mapping[str, Adapter], base: Mapping[str, torch.Tensor], where: str) -> None:
    """Raise ReproError that names the first adapter without a weight of its shape."""
    for target, adapter in adapters.items():
        if target not in base:
            raise ReproError(f"{where} adapts {target}, which the base model lacks. {REMEDY}")
        if not adapter.fits(base[target]):
            raise ReproError(
                f"{where}: the adapter of {target} has shapes {tuple(adapter.B.shape)} · {tuple(adapter.A.shape)}, "
                f"but the weight has {tuple(base[target].shape)}. {REMEDY}"
            )


def merge(
    base: Mapping[str, torch.Tensor], adapters: Mapping[str, Adapter], alpha: float | None
) -> dict[str, torch.Tensor]:
    """`base` with every adapter added; `alpha` counts where the file tells none, and is r when not given."""
    return dict(base) | {target: adapter.merged(base[target], alpha) for target, adapter in adapters.items()}
