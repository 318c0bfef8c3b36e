import subprocess
import sys
from pathlib import Path

from commands import horner


def test_the_account_is_of_the_file_on_disk(program):
    numbers = horner("account", program, "--json").json
    assert numbers["file_bytes"] == program.stat().st_size
    wanted = (
        "coefficient_ratio value_ratio byte_ratio dense_parameters coefficients multiplications additions dense_macs"
    )
    assert set(wanted.split()) <= numbers.keys()
    assert sum(layer["coefficients"] for layer in numbers["layers"]) == numbers["coefficients"]
    table = horner("account", program).out
    assert f"byte ratio {numbers['byte_ratio']:.2f} = " in table
    assert all(layer["name"] in table for layer in numbers["layers"])


def test_standard_output_that_cannot_be_written_is_one_line(program):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "horner", "account", program, "--json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "horner: No space left on device\n")
