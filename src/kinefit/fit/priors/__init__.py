"""What is known of poses before any picture is seen: terms of a fit, and the data behind them."""

from kinefit.fit.priors.capsules import Capsules as Capsules
from kinefit.fit.priors.capsules import Interpenetration as Interpenetration
from kinefit.fit.priors.euler_limits import EulerLimits as EulerLimits
from kinefit.fit.priors.joints import PriorJoints as PriorJoints
from kinefit.fit.priors.limits import AngleMagnitude as AngleMagnitude
from kinefit.fit.priors.limits import Bending as Bending
from kinefit.fit.priors.limits import Limits as Limits
from kinefit.fit.priors.lumbar import LumbarRhythm as LumbarRhythm
from kinefit.fit.priors.mixture import Mixture as Mixture
from kinefit.fit.priors.mixture import PoseMixture as PoseMixture
from kinefit.fit.priors.variational import PoseAutoencoder as PoseAutoencoder
from kinefit.fit.priors.variational import Variational as Variational
