"""Every method: its parameter class, and the learner (of a checkout, the program) that computes it.

Parameter classes are imported with the configuration, which must work without torch; learners only when a
cell is built. A parameter class may be in its learner's module if that imports torch in functions only.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dima.config.method import Parameters

METHODS = {
    "config.dima_parameters:DimaParameters": "learning.dima_learner:DimaLearner",
    "config.mamba_parameters:MambaParameters": "baselines.mamba.learner:MambaLearner",
    "config.marie_parameters:MarieParameters": "baselines.marie.learner:MarieLearner",
    "config.harl_parameters:HarlOnPolicyParameters": "baselines.harl_on_policy:HarlOnPolicyLearner",
    "config.harl_parameters:HarlOffPolicyParameters": "baselines.harl_off_policy:HarlOffPolicyLearner",
    "config.checkout_parameters:HarlOnPolicyCheckoutParameters": "baselines.checkout.harl:HarlProgram",
    "config.checkout_parameters:HarlOffPolicyCheckoutParameters": "baselines.checkout.harl:HarlProgram",
    "config.checkout_parameters:MarieCheckoutParameters": "baselines.checkout.marie:MarieProgram",
}


def load(place: str) -> Any:
    """What `module:name` below `dima` names."""
    module, name = place.split(":")
    return getattr(import_module(f"dima.{module}"), name)


LEARNERS: dict[type[Parameters], str] = {load(parameters): learner for parameters, learner in METHODS.items()}
