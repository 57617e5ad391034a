"""Which process of a run this one is: every launcher's variables, what wins, what is refused."""

import itertools

import pytest

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.train.place import COUNT, INDEX, Place, find_place

ADDRESS = {"JAX_COORDINATOR_ADDRESS": "10.0.0.1:8476"}
SLURM = {
    "SLURM_JOB_ID": "4100",
    "SLURM_STEP_ID": "2",
    "SLURM_STEP_NODELIST": "gpu[007-010,012],login1",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_NTASKS": "8",
    "SLURM_PROCID": "3",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "3",
    "OMPI_COMM_WORLD_RANK": "2",
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
}
PMI = {"PMI_SIZE": "5", "PMI_RANK": "4"}


@pytest.mark.parametrize("count, index", itertools.product(COUNT, INDEX))
def test_every_name_of_jax(count, index):
    assert find_place(ADDRESS | {count: "2", index: "1"}) == Place("10.0.0.1:8476", 2, 1)
    both = ADDRESS | {name: "2" for name in COUNT} | {name: " 1 " for name in INDEX}
    assert find_place(both) == Place("10.0.0.1:8476", 2, 1)


@pytest.mark.parametrize(
    "variables, place",
    [
        (SLURM, Place("gpu007:61446", 4, 3)),
        (SLURM | {"SLURM_STEP_NODELIST": "n1"}, Place("n1:61446", 4, 3)),
        (SLURM | {"SLURM_STEP_NODELIST": "n1,n2", "SLURM_STEP_ID": "0"}, Place("n1:61444", 4, 3)),
        (SLURM | {"JAX_COORDINATOR_PORT": "99"}, Place("gpu007:99", 4, 3)),
        (SLURM | {"SLURM_STEP_NUM_TASKS": ""}, Place("gpu007:61446", 8, 3)),
        (OPEN_MPI, Place(f"10.96.0.1:{61440 + 1531576320 // 4096 % 4096}", 3, 2)),
        (
            OPEN_MPI | {"OMPI_MCA_orte_hnp_uri": "4096.0;tcp6://[fe80::1,fe80::2]:4"},
            Place("[fe80::1]:61441", 3, 2),
        ),
        (PMI | ADDRESS, Place("10.0.0.1:8476", 5, 4)),
        # JAX's names before Slurm's, Slurm's before Open MPI's, these before PMI's
        (SLURM | ADDRESS, Place("10.0.0.1:8476", 4, 3)),
        (SLURM | {COUNT[0]: "2", INDEX[1]: "0"}, Place("gpu007:61446", 2, 0)),
        (SLURM | OPEN_MPI | PMI, Place("gpu007:61446", 4, 3)),
        (OPEN_MPI | PMI | ADDRESS, Place("10.0.0.1:8476", 3, 2)),
        # a step of one task is no run of several
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1"} | PMI | ADDRESS, Place("10.0.0.1:8476", 5, 4)),
        # one of the two may stand twice, if it is the same
        (SLURM | {COUNT[1]: "4"}, Place("gpu007:61446", 4, 3)),
        (SLURM | {INDEX[0]: "3"}, Place("gpu007:61446", 4, 3)),
        # the port
        (
            {COUNT[0]: "2", INDEX[0]: "0", "JAX_COORDINATOR_PORT": "7"} | ADDRESS,
            "8476.*PORT is '7'",
        ),
        (
            {COUNT[0]: "2", INDEX[0]: "0", "JAX_COORDINATOR_PORT": "7"}
            | {"JAX_COORDINATOR_ADDRESS": "host"},
            Place("host:7", 2, 0),
        ),
    ],
)
def test_launchers(variables, place):
    if isinstance(place, str):
        with pytest.raises(InputError, match=place):
            find_place(variables)
    else:
        assert find_place(variables) == place


def test_alone():
    assert find_place({}) is None
    assert find_place({name: "" for name in (*ADDRESS, *COUNT, *INDEX)}) is None
    assert find_place({COUNT[0]: "1"}) is None
    assert find_place(SLURM | {COUNT[1]: "1"}) is None
    assert find_place({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}) is None  # a batch script
    assert find_place(SLURM, num_processes=1) is None


def test_arguments_win():
    given = find_place(ADDRESS | {COUNT[0]: "9", INDEX[0]: "8"}, "other:1", 2, 0)
    assert given == Place("other:1", 2, 0)


@pytest.mark.parametrize(
    "variables, sentence",
    [
        (ADDRESS, r"^JAX_COORDINATOR_ADDRESS is given, but .* num_processes .* and process_id"),
        (
            {COUNT[1]: "2"},
            r"JAX_PROCESS_COUNT is given, but .*JAX_COORDINATOR_ADDRESS.*PROCESS_ID",
        ),
        (ADDRESS | {INDEX[1]: "0"}, "ADDRESS and JAX_PROCESS_INDEX are given.*JAX_NUM_PROCESSES"),
        (PMI, r"PMI_SIZE and PMI_RANK are given, but .* coordinator \(JAX_COORDINATOR_ADDRESS\)"),
        ({COUNT[0]: "2", COUNT[1]: "4"}, "JAX_NUM_PROCESSES is 2, but JAX_PROCESS_COUNT is 4"),
        ({INDEX[0]: "0", INDEX[1]: "1"}, "JAX_PROCESS_ID is 0, but JAX_PROCESS_INDEX is 1"),
        (SLURM | {COUNT[1]: "2"}, "JAX_PROCESS_COUNT is 2, but SLURM_STEP_NUM_TASKS is 4"),
        (SLURM | {INDEX[0]: "0"}, "JAX_PROCESS_ID is 0, but SLURM_PROCID is 3"),
        (SLURM | {"SLURM_PROCID": ""}, "SLURM_STEP_NUM_TASKS is set, but SLURM_PROCID is not"),
        ({"OMPI_COMM_WORLD_RANK": "0"}, "RANK is set, but OMPI_COMM_WORLD_SIZE is not"),
        ({"PMI_SIZE": "2"}, "PMI_SIZE is set, but PMI_RANK is not"),
        (SLURM | {"SLURM_PROCID": "x"}, "SLURM_PROCID is 'x': give a whole number"),
        (ADDRESS | {COUNT[0]: "-2", INDEX[0]: "0"}, "JAX_NUM_PROCESSES is '-2'"),
        (ADDRESS | {COUNT[0]: "2", INDEX[0]: "2"}, "JAX_PROCESS_ID is 2 of JAX_NUM_PROCESSES 2"),
        (ADDRESS | {COUNT[0]: "0", INDEX[0]: "0"}, "JAX_PROCESS_ID is 0 of JAX_NUM_PROCESSES 0"),
        (
            {"JAX_COORDINATOR_ADDRESS": "host", COUNT[0]: "2", INDEX[0]: "0"},
            "JAX_COORDINATOR_ADDRESS is 'host': give it as host:port",
        ),
        (SLURM | {"JAX_COORDINATOR_PORT": "x"}, "'gpu007:x': give it as host:port"),
        (OPEN_MPI | {"OMPI_MCA_orte_hnp_uri": "usock"}, "OMPI_MCA_orte_hnp_uri is 'usock'"),
    ],
)
def test_mistakes_are_one_sentence_with_the_name(variables, sentence):
    with pytest.raises(InputError, match=sentence) as found:
        find_place(variables)
    assert "\n" not in str(found.value)
