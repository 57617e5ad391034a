"""What a motion is warned of that was read without an error and may still be misread."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float

from jaxrl_envs.retarget.motion.record import Motion

_UPRIGHT_SHARE = 0.1
_LIFTED = 0.25
_BEYOND = 0.7
"""rad; angles further outside a human's limits are counted."""
_BEYOND_SHARE = 0.1


def report_lying(motion: Motion) -> None:
    """A UserWarning where the neck is above the pelvis in less than a tenth of the frames."""
    pelvis, neck = motion.joint("pelvis"), motion.joint("neck")
    if pelvis is None or neck is None:
        return
    trunk = motion.positions[:, neck] - motion.positions[:, pelvis]
    share = float((trunk[:, 2] > _LIFTED * np.linalg.norm(trunk, axis=1)).mean())
    if share < _UPRIGHT_SHARE:
        warnings.warn(
            f"{motion.name}: the trunk is upright in {100 * share:.0f} % of the frames; if the "
            "person stands, the up axis or the roles are wrong: give up='y' or 'z', or roles",
            stacklevel=3,
        )


def report_beyond_limits(
    name: str,
    angles: dict[str, Float[np.ndarray, "frames"]],
    limits: dict[str, tuple[float, float]],
) -> None:
    """A UserWarning naming the joints that are over 0.7 rad beyond a human's limits in more than
    a tenth of the frames."""
    shares = {
        joint: float((np.maximum(lower - angles[joint], angles[joint] - upper) > _BEYOND).mean())
        for joint, (lower, upper) in limits.items()
    }
    bad = sorted(joint for joint, share in shares.items() if share > _BEYOND_SHARE)
    if bad:
        warnings.warn(
            f"{name}: {', '.join(bad)} bend further than a human's joints in "
            f"{100 * max(shares.values()):.0f} % of the frames; is the motion a human's, and are "
            "up axis and roles right?",
            stacklevel=3,
        )
