"""AdamW for the parts of the world model, Adam for MAMBA's networks: weight decay, warm-up, clipped steps."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dima.config import AdamWConfig, OptimizerConfig

DECAYED = (nn.Linear, nn.Conv1d, nn.ConvTranspose1d)


class ModelOptimizer:
    """The optimiser of one part; its learning rate and update count are on the device, for CUDA graphs.

    Args:
        module: what is trained.
        config: learning rate, weight decay, bound on the gradient norm. An `AdamWConfig` decays weights apart
            from the gradient; otherwise Adam adds the decay of all parameters to the gradient (MAMBA).
        warmup_updates: the learning rate grows linearly from 0 over this many updates, then stays.
    """

    def __init__(self, module: nn.Module, config: OptimizerConfig, warmup_updates: int = 0) -> None:
        self._parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self._gradient_clip = config.gradient_clip
        self._warmup_updates = warmup_updates
        device = self._parameters[0].device
        self.updates = torch.zeros((), device=device)
        self._full_rate = torch.tensor(config.learning_rate, device=device)
        self._rate = self._full_rate.clone()
        kind = torch.optim.AdamW if isinstance(config, AdamWConfig) else torch.optim.Adam
        self._optimizer = kind(
            self._groups(module, config), lr=self._rate, fused=True, capturable=device.type == "cuda"
        )

    def _groups(self, module: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
        """The parameters that decay, and those that do not, if any."""
        if not isinstance(config, AdamWConfig) or config.decayed == "all":
            return [{"params": self._parameters, "weight_decay": config.weight_decay}]
        decayed = {id(layer.weight) for layer in module.modules() if isinstance(layer, DECAYED)}
        return [
            {
                "params": [p for p in self._parameters if id(p) in decayed],
                "weight_decay": config.weight_decay,
            },
            {"params": [p for p in self._parameters if id(p) not in decayed], "weight_decay": 0.0},
        ]

    def step(self, loss: Float[Tensor, ""], repeats: int = 1) -> None:
        """Take `repeats` steps with the gradient of `loss` (the release's reward model takes two)."""
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, self._gradient_clip, foreach=True)
        if self._warmup_updates:
            self._rate.copy_(self._full_rate * (self.updates / self._warmup_updates).clamp(max=1.0))
        for _ in range(repeats):
            self._optimizer.step()
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """Moments and number of updates."""
        return {"updates": self.updates, "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.updates.copy_(state["updates"])
        self._optimizer.load_state_dict(state["optimizer"])
        for group in self._optimizer.param_groups:
            self._rate.copy_(group["lr"])
            group["lr"] = self._rate
