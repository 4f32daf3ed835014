"""Every method: its parameter class, and the learner (of a checkout, the program) that computes it.

Parameter classes are imported with the configuration, which must work without torch. Learners are imported
when a cell is built. A parameter class may be in its learner's module if that imports torch in functions only.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dima.config.method import Parameters

METHODS = {
    "dima.config.dima_parameters:DimaParameters": "dima.learning.dima_learner:DimaLearner",
    "dima.config.mamba_parameters:MambaParameters": "dima.baselines.mamba.learner:MambaLearner",
    "dima.config.marie_parameters:MarieParameters": "dima.baselines.marie.learner:MarieLearner",
    "dima.config.harl_parameters:HarlOnPolicyParameters": "dima.baselines.harl_on_policy:HarlOnPolicyLearner",
    "dima.config.harl_parameters:HarlOffPolicyParameters": "dima.baselines.harl_off_policy:HarlOffPolicyLearner",
    "dima.config.checkout_parameters:HarlOnPolicyCheckoutParameters": "dima.baselines.checkout.harl:HarlProgram",
    "dima.config.checkout_parameters:HarlOffPolicyCheckoutParameters": "dima.baselines.checkout.harl:HarlProgram",
    "dima.config.checkout_parameters:MarieCheckoutParameters": "dima.baselines.checkout.marie:MarieProgram",
}


def load(place: str) -> Any:
    """What `module:name` names."""
    module, name = place.split(":")
    return getattr(import_module(module), name)


LEARNERS: dict[type[Parameters], str] = {load(parameters): learner for parameters, learner in METHODS.items()}
