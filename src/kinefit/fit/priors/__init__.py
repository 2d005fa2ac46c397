"""What is known of poses before any picture is seen: terms of a fit, and the data behind them."""

from kinefit.fit.priors.capsules import Capsules, Interpenetration
from kinefit.fit.priors.joints import PriorJoints
from kinefit.fit.priors.limits import AngleMagnitude, Bending, Limits
from kinefit.fit.priors.lumbar import LumbarRhythm
from kinefit.fit.priors.mixture import Mixture, PoseMixture
from kinefit.fit.priors.variational import PoseAutoencoder, Variational

__all__ = [
    "AngleMagnitude",
    "Bending",
    "Capsules",
    "Interpenetration",
    "Limits",
    "LumbarRhythm",
    "Mixture",
    "PoseAutoencoder",
    "PoseMixture",
    "PriorJoints",
    "Variational",
]
