"""Names and conventions of the vectors for retargeting from sparse input."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxrl_envs.retarget import contact, kinematics, metrics, sensors

from jaxrl_rewards.rewards import imitation
from tests.reference.vectors import number_array


def _arrays(inputs, skip=()):
    return {
        name: value if name in skip else jnp.asarray(number_array(value), jnp.float32)
        for name, value in inputs.items()
    }


def _kinematic_retarget(x):
    values = _arrays(x) | {"joint_map": np.asarray(x["joint_map"])}
    names = ("char_q", "mapped_mask", "char_root_pos", "scale")
    return dict(zip(names, kinematics.kinematic_retarget(**values), strict=True))


def _to_heading_frame(x):
    names = ("heading_quat", "points", "velocities", "rot6d")
    return dict(zip(names, sensors.to_heading_frame(**_arrays(x)), strict=True))


def _weights(config):
    return imitation.ImitationWeights(
        imitation=config["w_imitation"],
        contact=config["w_contact"],
        action=config["w_action"],
        **config["v"],
        **{f"k_{name}": value for name, value in config["k"].items()},
        k_contact=config["k_contact"],
        action_size=config["action"]["w_mag"],
        action_rate=config["action"]["w_rate"],
        k_action_size=config["action"]["k_mag"],
        k_action_rate=config["action"]["k_rate"],
    )


def _retarget_reward(x):
    values = _arrays(x, skip=("config",))
    return imitation.retarget_reward(**values | {"weights": _weights(values.pop("config"))})


def _maximal(x):
    values, spec = _arrays(x, skip=("spec",)), x["spec"]
    del values["spec"]
    names = ("pos", "rot", "vel", "ang_vel")
    reward, terms = imitation.imitation_reward_maximal(
        **values,
        weights=tuple(spec[f"w_{name}"] for name in names),
        sharpness=tuple(spec[f"k_{name}"] for name in names),
    )
    return {"reward": reward, "terms": terms}


def _relative_sites(x):
    values = _arrays(x, skip=("w_exp", "w_sum"))
    sharpness, weights = values.pop("w_exp"), values.pop("w_sum")
    reward, terms = imitation.imitation_reward_relative_sites(
        **values, sharpness=sharpness, weights=weights
    )
    return {"reward": reward, "terms": terms}


ADAPTERS = {
    "amp_style_reward": lambda x: {"reward": imitation.amp_style_reward(**_arrays(x))},
    "deepmimic_reward": lambda x: {"reward": imitation.deepmimic_reward(**x)},
    "early_termination": lambda x: {"terminate": contact.early_termination(**_arrays(x))},
    "imitation_reward_maximal": _maximal,
    "imitation_reward_relative_sites": _relative_sites,
    "kinematic_retarget": _kinematic_retarget,
    "reference_contact_labels": lambda x: {
        "contact": contact.reference_contact_labels(**_arrays(x))
    },
    "retarget_reward": _retarget_reward,
    "scale_sensors": lambda x: {"points": sensors.scale_sensors(**_arrays(x))},
    "to_heading_frame": _to_heading_frame,
    "tracking_metrics": lambda x: metrics.tracking_metrics(**_arrays(x)),
}
