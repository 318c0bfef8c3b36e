from horner.backends.c.firmware.elf import Frame, Symbol, read
from horner.backends.c.firmware.image import EMULATED

VARIABLES = """
static int8_t counted = 7;
static int8_t cleared[3];
static const int8_t constant[5] = {1, 2, 3, 4, 5};
void network_run(const int8_t *input, int8_t *output) { output[0] = (int8_t)(++counted + ++cleared[input[0] & 1]
                                                                        + constant[input[0] & 3]); }
"""


def test_sections_symbols_and_where_they_are_flashed(by_hand):
    for chip in EMULATED:
        image = read(by_hand(VARIABLES, chip).path, "network.c")
        assert image.thumb == (chip != "rv32imc")
        sizes = {symbol.name: symbol.size for symbol in image.objects}
        assert {name: sizes[name] for name in ("counted", "cleared", "constant")} == {
            "counted": 1,
            "cleared": 3,
            "constant": 5,
        }
        data, constants = image.sections[".data"], image.sections[".rodata"]
        assert data.address == 0x2000_0000
        assert data.source >= constants.source + constants.size > 0x0800_0000
        assert data.data[0] == 7
        assert image.sections[".bss"].data == b""
        assert image.size(".data", ".bss", ".nothing") == data.size + image.sections[".bss"].size
        names = [function.name for function in image.functions]
        assert len(set(names)) == len(names)
        assert {"network_run", "firmware_start"} <= set(names)
        assert [f.address for f in image.functions] == sorted(f.address for f in image.functions)
        assert image.addresses["network_run"] in image.frames


def test_a_frame_is_what_its_last_row_before_an_address_says():
    frame = Frame((100, 102, 110), (0, 8, 40))
    assert [frame.at(address) for address in (100, 101, 102, 108, 110, 200)] == [0, 0, 8, 8, 40, 40]
    assert Symbol("f", 100, 20).end == 120
