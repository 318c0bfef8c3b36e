import itertools

import strategies
from hypothesis import given
from hypothesis import strategies as st

from horner.backends.c import memory, network
from horner.backends.c.streaming import Group, Node, cut, group
from horner.backends.c.streams import Reach
from horner.backends.c.targets import target
from horner.program.layers import MaxPool
from horner.program.program import Input, Program


def replay(nodes, found, check):
    """Run a group as the generated code does: the latest step that is ready goes on; `check` sees every row made."""
    members = range(found.start, found.stop)
    maker = {nodes[i].makes: i for i in members}
    made = dict.fromkeys(members, 0)

    def ready(i):
        row = made[i]
        if row == nodes[i].rows or any(s in maker and made[maker[s]] < reach(row)[1] for s, reach in nodes[i].reads):
            return False
        guards = found.guards.get(i)
        return not guards or any(
            made[g.reader] < nodes[g.reader].rows and row < g.reach(made[g.reader])[1] for g in guards
        )

    while any(made[i] < nodes[i].rows for i in members):
        i = next(i for i in reversed(members) if ready(i))
        check(i, made[i])
        made[i] += 1
    return made


@given(strategies.programs(most_layers=8), st.sampled_from(["generic", "cortex-m0plus"]))
def test_no_row_is_read_before_it_is_made_or_after_it_is_overwritten_and_each_is_made_once(program, name):
    laid_out = network.lay_out(program, target(name), memory.place)
    nodes = laid_out.nodes
    rings = {}  # stream -> the row in every slot
    stored = {key: stream.shape[1] for key, stream in laid_out.streams.items()}
    rings[0] = dict(enumerate(range(stored[0])))
    made_at = []

    def check(i, row):
        for key, reach in nodes[i].reads:
            for wanted in range(*reach(row)):
                assert rings[key][wanted % stored[key]] == wanted
        slots = rings.setdefault(nodes[i].makes, {})
        slots[row % stored[nodes[i].makes]] = row
        made_at.append((i, row))

    for found in laid_out.groups:
        stored.update(found.capacity)
        replay(nodes, found, check)
    assert len(set(made_at)) == len(made_at) == sum(node.rows for node in nodes)
    last = nodes[-1]
    assert rings[last.makes] == {y: y for y in range(laid_out.streams[last.makes].shape[1])}, "the output is whole"


@given(strategies.programs(most_layers=8))
def test_the_cut_needs_no_more_than_any_other_of_a_few_and_than_none(program):
    laid_out = network.lay_out(program, target("generic"), memory.place)
    nodes, count = laid_out.nodes, len(laid_out.nodes)
    whole = frozenset(key for key, stream in laid_out.streams.items() if stream.by_channel)
    row_bytes = {k: 0 if s.place else s.row_elements * s.type.bytes for k, s in laid_out.streams.items()}
    scratch = [sum(buffer.bytes for buffer in item.step.scratch) for item in laid_out.steps]
    maker = {node.makes: i for i, node in enumerate(nodes)}
    last = {
        key: max([i for i, n in enumerate(nodes) if any(key == k for k, _ in n.reads)], default=-1) for key in maker
    }

    def peak(stops):
        bytes_ = []
        for start, stop in itertools.pairwise((0, *stops)):
            kept = frozenset(k for k, i in maker.items() if start <= i < stop and (k in whole or last[k] >= stop))
            rings = group(nodes, start, stop, kept).capacity
            passing = [nodes[i].rows * row_bytes[k] for k, i in maker.items() if i < start <= last[k]]
            bytes_.append(sum(n * row_bytes[k] for k, n in rings.items()) + sum(passing) + max(scratch[start:stop]))
        return max(bytes_)

    chosen = peak([found.stop for found in cut(nodes, row_bytes, scratch, whole)])
    for number in range(min(count, 3)):
        for stops in itertools.combinations(range(1, count), number):
            assert chosen <= peak([*stops, count])


def test_a_chain_of_kernels_keeps_as_many_rows_as_each_is_high():
    rows = [28, 24, 12, 8]
    nodes = [
        Node((("in", Reach(32, 1, 0, 5)),), "a", rows[0]),
        Node((("a", Reach(28, 1, 0, 5)),), "b", rows[1]),
        Node((("b", Reach(24, 2, 0, 2)),), "c", rows[2]),
        Node((("c", Reach(12, 1, 0, 5)),), "d", rows[3]),
    ]
    assert group(nodes, 0, 4, frozenset("d")).capacity == {"a": 5, "b": 2, "c": 5, "d": 8}


def test_a_skip_keeps_its_rows_until_the_main_branch_arrives():
    same = Reach(16, 1, -1, 2)
    nodes = [
        Node((("in", Reach.same(16)),), "x", 16),
        Node((("x", same),), "a", 16),
        Node((("a", same),), "b", 16),
        Node((("x", Reach.same(16)), ("b", Reach.same(16))), "sum", 16),
    ]
    found = group(nodes, 0, 4, frozenset(["sum"]))
    assert found == Group(0, 4, {"x": 3, "a": 3, "b": 1, "sum": 16}, {}, streams=True)


def test_two_branches_from_one_map_wait_for_each_other():
    nodes = [
        Node((("in", Reach(16, 1, -1, 2)),), "a", 16),
        Node((("in", Reach.same(16)),), "b", 16),
        Node((("a", Reach.same(16)), ("b", Reach.same(16))), "sum", 16),
    ]
    found = group(nodes, 0, 3, frozenset(["sum"]))
    assert found.capacity["a"] == found.capacity["b"] == 1
    assert set(found.guards) == {1}


def test_rows_that_nobody_needs_are_not_made():
    pools = (MaxPool(0, (1, 1), (1, 1)), MaxPool(1, (2, 2), (3, 3)))
    laid_out = network.lay_out(Program(Input((1, 9, 9)), pools), target("generic"), memory.place)
    assert [node.rows for node in laid_out.nodes] == [8, 3]


def test_layers_that_need_whole_maps_run_one_after_the_other():
    nodes = [Node((("in", Reach.same(4)),), "x", 4), Node((("x", Reach.whole(4)),), "y", 1)]
    assert not group(nodes, 0, 2, frozenset("y")).streams
