"""MJCF files that would take gigabytes or minutes are refused at once."""

import struct
import zlib

import pytest
from jaxrl_envs.retarget.characters import load_character
from jaxrl_envs.retarget.characters.mjcf_limits import check_mjcf

from jaxrl_rewards.core import InputError

BODY = '<body><freejoint/><geom size="1"/></body>'


def replicate(counts, inner=BODY):
    for count in counts:
        inner = f'<replicate count="{count}">{inner}</replicate>'
    return f"<mujoco><worldbody>{inner}</worldbody></mujoco>"


BOMBS = {
    "field": '<mujoco><asset><hfield name="h" nrow="20000" ncol="20000" size="1 1 1 1"/></asset>'
    "<worldbody/></mujoco>",
    "texture": '<mujoco><asset><texture builtin="flat" type="2d" width="30000" height="30000"/>'
    "</asset></mujoco>",
    "replicate": replicate([300, 100]),
    "deep replicate": replicate([10] * 9),
    "huge replicate": replicate(["1e300"]),
    "composite": replicate([1], '<composite type="cable" count="30000 1 1"/>'),
    "flex": replicate([1], '<flexcomp type="grid" count="100 100 100"/>'),
    "nested": replicate([1] * 150),
    "entities": '<!DOCTYPE x [<!ENTITY a "aaaa">]><mujoco><worldbody/></mujoco>',
    "large": "<mujoco>" + " " * (1 << 22) + "</mujoco>",
    "include itself": '<mujoco><include file="robot.xml"/></mujoco>',
    "include": '<mujoco><worldbody><replicate count="9000"><include file="part.xml"/></replicate>'
    "</worldbody></mujoco>",
    "picture": '<mujoco><asset><texture type="2d" file="large.png"/></asset></mujoco>',
    "picture of a field": '<mujoco><asset><hfield name="h" file="a/large.png"/></asset></mujoco>',
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_one_sentence(bomb, tmp_path):
    path = tmp_path / "robot.xml"
    path.write_text(BOMBS[bomb])
    (tmp_path / "part.xml").write_text(f"<mujoco>{BODY}</mujoco>")
    head = struct.pack(">I4sIIBBBBB", 13, b"IHDR", 30000, 30000, 8, 0, 0, 0, 0)
    (tmp_path / "a").mkdir()
    for place in (tmp_path, tmp_path / "a"):
        (place / "large.png").write_bytes(
            b"\x89PNG\r\n\x1a\n" + head + zlib.crc32(head[4:]).to_bytes(4, "big")
        )
    with pytest.raises(InputError, match=r"robot\.xml .*leave out"):
        load_character(path, path.with_suffix(".json"))


@pytest.mark.parametrize(
    "text", [replicate([3, 4]), "<mujoco", "", '<mujoco><include file="nowhere.xml"/></mujoco>']
)
def test_the_rest_is_left_to_mujoco(text, tmp_path):
    path = tmp_path / "robot.xml"
    path.write_text(text)
    check_mjcf(path)
    check_mjcf(tmp_path / "nowhere.xml")
    check_mjcf(tmp_path)
