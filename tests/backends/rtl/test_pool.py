from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import generators
from testbench import drive

from horner.backends.rtl.pool import MaxPool


@settings(max_examples=20)
@given(st.tuples(*[st.integers(1, 3)] * 5), generators())
def test_the_largest_of_every_window_leaves_in_order(sizes, generator):
    rows, columns, high, steps, channels = sizes
    maps = generator.integers(-128, 128, (2, high, rows, steps, columns, channels))
    block = MaxPool(max(rows, columns) + 1, steps + 1, channels + 1, steps * channels + 1)
    given_ = {
        "rows_last": rows - 1,
        "columns_last": columns - 1,
        "steps_last": steps - 1,
        "channels_last": channels - 1,
    }
    wanted = maps.max((2, 4)).reshape(-1).tolist()
    assert drive(block, given_, "items", maps.reshape(-1).tolist(), "largest", len(wanted), generator) == wanted
