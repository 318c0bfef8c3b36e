import pytest

from horner.errors import ArchitectureError, FileError
from horner.hardware import architecture

SMALL = """
rows = 4
columns = 5
clock_mhz = 100
[scratchpad]
filter = 32
ifmap = 8
psum = 8
[buffer]
kilobytes = 16
[bandwidth]
buffer = 4
dram = 0.5
"""


def test_an_architecture_is_read_from_a_file_and_what_it_leaves_out_is_usual(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    small = architecture.load(path)
    assert (small.pes, small.word_bits, small.buffer_words) == (20, 16, 8192)
    assert (small.energy.inter_pe, small.energy.buffer, small.energy.dram) == (2, 6, 200)


def test_eyeriss_is_the_published_chip():
    """JSSC 2017, table I: 168 PEs, 108 kB, scratchpads of 448, 24 and 48 bytes."""
    eyeriss = architecture.load("eyeriss")
    pad = eyeriss.scratchpad
    assert (eyeriss.rows, eyeriss.columns, eyeriss.clock_mhz, eyeriss.word_bits) == (12, 14, 200, 16)
    assert [2 * words for words in (pad.filter, pad.ifmap, pad.psum)] == [448, 24, 48]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rows = 4", "rows = 0", "rows = 0; it is at least 1"),
        ("rows = 4", "", "required field `rows`"),
        ("rows = 4", "rows = 4\nrow = 4", "unknown field `row`"),
        ("rows = 4", 'rows = "four"', r"Expected `int`, got `str` - at `\$.rows`"),
        ("rows = 4", "rows 4", "is not TOML"),
        ("psum = 8", "psum = -1", "scratchpad.psum = -1"),
        ("dram = 0.5", "dram = 0", "bandwidth.dram = 0.*; it is positive"),
        ("dram = 0.5", "dram = inf", "bandwidth.dram = inf; it is positive and finite"),
        ("kilobytes = 16", "kilobytes = 16\nfilter_kilobytes = 16", "buffer.filter_kilobytes = 16.0; it is less"),
        ("dram = 0.5", "dram = 0.5\n[energy]\ndram = -1", "energy.dram = -1"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(tmp_path, old, new, message):
    path = tmp_path / "small.toml"
    path.write_text(SMALL.replace(old, new))
    with pytest.raises(ArchitectureError, match=message) as error:
        architecture.load(path)
    assert "small.toml" in str(error.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"nowhere.toml"):
        architecture.load(tmp_path / "nowhere.toml")
