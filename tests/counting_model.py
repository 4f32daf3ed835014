"""A tokenizer and a token world model written by hand, whose rollouts can be reckoned in the head."""

from __future__ import annotations

import torch

from dima.baselines.marie.tokenizer import Tokenizer
from dima.baselines.marie.world_model import TokenWorldModel, Unrolling

AGENTS, TOKENS = 2, 3


class CountingTokenizer(Tokenizer):
    """An observation's tokens are its first number plus 0, 1, 2; it comes back as that number alone."""

    def __init__(self):
        torch.nn.Module.__init__(self)

    def encode(self, observations):
        return observations[..., :1].long() + torch.arange(TOKENS)

    def decode(self, tokens):
        return tokens[..., :1].float()


class CountingWorld(TokenWorldModel):
    """Every agent's number grows by one a step; agent i's reward is 10 i plus its number plus its action,
    what goes on 1 / (1 + number)."""

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.given = []

    def unroll(self):
        return CountingSteps(self.given)


class CountingSteps(Unrolling):
    def __init__(self, given):
        self.given = given

    def step(self, tokens, actions, uniform):
        self.given.append((tokens, actions, uniform))
        number = tokens[..., 0].float()
        reward = 10.0 * torch.arange(AGENTS) + number + actions[..., 0]
        return reward, 1 / (1 + number), tokens + 1
