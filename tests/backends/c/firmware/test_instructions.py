import itertools

import pytest

from horner.backends.c.compiler import ZIG, built
from horner.backends.c.firmware.elf import read
from horner.backends.c.firmware.image import DEBUG, EMULATED
from horner.backends.c.firmware.instructions import INDIRECT, instructions, jumps
from horner.backends.c.targets import target

# every jump that compilers use, near and far, back and forth, and what only looks like one
THUMB = """
    .thumb_func
    .type f, %function
f:
begin: b near
    bl near
    bl far
    beq near
    bne begin
    push {r4, lr}
    ldr r0, =0xF7FFFFFE
    svc 1
    mrs r0, APSR
    bx lr
    blx r3
near: bl begin
    pop {r4, pc}
    .ltorg
    .size f, . - begin
"""
WIDE_THUMB = "    b.w far\n    beq.w near\n    bhi.w begin\n    dmb\n    mov.w r1, #0xF000\n    tbb [pc, r0]\n    "
THUMB_JUMPS = ["near", "near", "far", "near", "begin", INDIRECT, "begin"]
WIDE_JUMPS = ["far", "near", "begin"]
RISCV = """
    .type f, %function
    .option norelax
f:
begin: j near
    jal near
    call far
    tail far
    c.j begin
    c.beqz a0, near
    c.bnez a0, begin
    bltu a0, a1, near
    bge a0, a1, begin
    lui a0, 0x6f
    jalr a5
    jalr a5, 4(a6)
    jr a5
    ret
near: jal begin
    .size f, . - begin
"""
RISCV_JUMPS = ["near", "near", "far", "far", "begin", "near", "begin", "near", "begin", INDIRECT, INDIRECT, "begin"]


@pytest.mark.parametrize("chip", EMULATED)
def test_jumps_lead_where_the_assembler_meant(chip):
    code, expected, calls = (
        (RISCV, RISCV_JUMPS, [1, 2, 9, 10, 11]) if chip == "rv32imc" else (THUMB, THUMB_JUMPS, [1, 2, 5, 6])
    )
    if chip in ("cortex-m4", "cortex-m33"):
        code, expected = code.replace("begin: ", f"begin: {WIDE_THUMB}"), WIDE_JUMPS + expected
        calls = [len(WIDE_JUMPS) + number for number in calls]
    quoted = "\n".join(f'    "{line}\\n"' for line in code.strip().splitlines())
    body = f'__asm__(".text\\n.globl f\\n"\n{quoted}\n    ".space 5000\\nfar: nop\\n");'
    machine = target(chip)
    flags = [*machine.flags, machine.optimise, *DEBUG, "-Wl,-e,f"]
    image = read(built({"a.c": body}, ".elf", flags=flags, compiler=ZIG), "a.c")
    section = image.sections[".text"]
    start = next(symbol for symbol in image.functions if symbol.name == "f")
    wanted = [
        INDIRECT if name == INDIRECT else image.addresses[name] & (~1 if image.thumb else ~0) for name in expected
    ]
    jumped = list(jumps(image, section, start.address, start.end))
    assert [to for _, to, _ in jumped] == wanted
    assert [number for number, (_, _, call) in enumerate(jumped) if call] == calls
    found = list(instructions(image, section, start.address, start.end))
    assert all(later > earlier for (earlier, _), (later, _) in itertools.pairwise(found))


@pytest.mark.parametrize("chip", ["cortex-m0plus", "cortex-m4"])
def test_constants_between_instructions_are_passed_over(by_hand, chip):
    text = """
    void network_run(const int8_t *input, int8_t *output) { output[0] = (int8_t)(input[0] * 0x12345679u >> 24); }
    """
    image = read(by_hand(text, chip).path, "network.c")
    code = next(f for f in image.functions if f.name == "network_run")
    section = image.sections[".text"]
    encodings = [code for _, code in instructions(image, section, code.address, code.end)]
    constant = (0x12345679).to_bytes(4, "little")
    if chip == "cortex-m0plus":
        assert constant in section.data
        assert 0x5679 not in encodings
    returns = (0x4770, 0xBD80, 0xBD10)
    assert any(code in returns for code in encodings[-2:]), "ends with a return, and a NOP before an aligned constant"
