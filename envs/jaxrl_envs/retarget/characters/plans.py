"""The body plans that come with the project: a human, a dinosaur, and a mouse-like creature."""

from jaxrl_envs.retarget.characters.biped import BipedPlan

HUMAN = BipedPlan(
    name="human",
    hip_offset=(0.0, 0.09, -0.05),
    thigh=0.42,
    shin=0.41,
    ankle_height=0.07,
    foot_half_size=(0.095, 0.045, 0.03),
    foot_forward=0.045,
    chest_offset=(0.0, 0.0, 0.10),
    chest_half_size=(0.11, 0.16, 0.24),
    chest_centre=(0.0, 0.0, 0.18),
    neck_offset=(0.0, 0.0, 0.46),
    head_centre=(0.02, 0.0, 0.13),
    head_radius=0.10,
    head_point=(0.02, 0.0, 0.19),
    shoulder_offset=(0.0, 0.19, 0.37),
    upper_arm=0.28,
    forearm=0.26,
    masses={
        "pelvis": 6.0, "chest": 14.0, "head": 2.0, "thigh": 4.5, "shin": 3.0, "foot": 1.0,
        "upper_arm": 1.5, "forearm": 1.0, "hand": 0.5,
    },
    radii={
        "pelvis": 0.09, "thigh": 0.065, "shin": 0.05, "upper_arm": 0.045, "forearm": 0.04,
        "hand": 0.045,
    },
)  # fmt: skip
"""45 kg, 1.7 m at the headset."""

DINOSAUR = BipedPlan(
    name="dinosaur",
    hip_offset=(0.0, 0.14, -0.20),
    thigh=0.56,
    shin=0.54,
    ankle_height=0.10,
    foot_half_size=(0.18, 0.08, 0.04),
    foot_forward=0.07,
    chest_offset=(0.08, 0.0, 0.10),
    chest_half_size=(0.22, 0.17, 0.20),
    chest_centre=(0.12, 0.0, 0.10),
    neck_offset=(0.26, 0.0, 0.26),
    head_centre=(0.16, 0.0, 0.20),
    head_radius=0.13,
    head_point=(0.18, 0.0, 0.24),
    shoulder_offset=(0.24, 0.15, 0.08),
    upper_arm=0.14,
    forearm=0.14,
    masses={
        "pelvis": 12.0, "chest": 12.0, "head": 3.0, "thigh": 6.0, "shin": 4.0, "foot": 1.5,
        "upper_arm": 0.6, "forearm": 0.5, "hand": 0.3, "tail": 6.0,
    },
    radii={
        "pelvis": 0.15, "thigh": 0.10, "shin": 0.06, "upper_arm": 0.035, "forearm": 0.03,
        "hand": 0.035, "tail": 0.10,
    },
    tail=(0.45, 0.45),
)  # fmt: skip
"""62 kg on long legs; the tail balances the body that leans forward, the arms are short."""

MOUSE = BipedPlan(
    name="mouse",
    hip_offset=(0.0, 0.045, -0.05),
    thigh=0.13,
    shin=0.13,
    ankle_height=0.04,
    foot_half_size=(0.055, 0.025, 0.015),
    foot_forward=0.02,
    chest_offset=(0.0, 0.0, 0.03),
    chest_half_size=(0.055, 0.065, 0.075),
    chest_centre=(0.0, 0.0, 0.06),
    neck_offset=(0.005, 0.0, 0.13),
    head_centre=(0.015, 0.0, 0.06),
    head_radius=0.065,
    head_point=(0.02, 0.0, 0.09),
    shoulder_offset=(0.0, 0.07, 0.11),
    upper_arm=0.07,
    forearm=0.07,
    masses={
        "pelvis": 0.35, "chest": 0.55, "head": 0.25, "thigh": 0.16, "shin": 0.10, "foot": 0.04,
        "upper_arm": 0.04, "forearm": 0.03, "hand": 0.015, "tail": 0.04, "ear": 0.008,
    },
    radii={
        "pelvis": 0.05, "thigh": 0.028, "shin": 0.02, "upper_arm": 0.018, "forearm": 0.015,
        "hand": 0.016, "tail": 0.012,
    },
    tail=(0.12, 0.12),
    ears=(0.0, 0.04, 0.11),
)  # fmt: skip
"""2 kg, a third of a human, with a large head, ears and a thin tail."""

PLANS = {plan.name: plan for plan in (HUMAN, DINOSAUR, MOUSE)}
