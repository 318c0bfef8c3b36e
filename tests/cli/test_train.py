import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from commands import Result, end, horner, start


def test_a_folder_of_colour_pictures_gets_a_network_of_three_channels(pictures, tmp_path):
    file = tmp_path / "colours.safetensors"
    command = ["train", "lenet5", "--data", f"folder:{pictures}", "--epochs", 1, "-o", file, "--json"]
    assert horner(*command, "--size", "28x28").json["parameters"] == 61706 + 2 * 6 * 25 - 84 * 8 - 8
    assert horner(*command, "--size", "28x28", "--channels", 1).json["parameters"] == 61706 - 84 * 8 - 8


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.exists(), process.communicate()


def epochs(result: Result) -> Iterator[int]:
    return (int(number) for number in re.findall(r"^epoch (\d+)/", result.err, re.MULTILINE))


def test_ctrl_c_is_one_line_and_the_same_command_goes_on(data_dir, tmp_path):
    output = tmp_path / "dense.safetensors"
    output.write_bytes(b"former")
    command = [*("train", "lenet5", "--data", "mnist", "--data-dir", data_dir, "--epochs", 30), "-o", output, "--json"]
    process = start(*command)
    checkpoint = tmp_path / "dense.safetensors.checkpoint"
    wait_for(checkpoint, process)
    process.send_signal(signal.SIGINT)
    stopped = end(process)
    assert (stopped.code, stopped.out) == (130, "")
    done = list(epochs(stopped))
    assert 1 <= len(done) < 30
    last = stopped.err.splitlines()[-1]
    assert re.fullmatch(
        rf"horner: interrupted in epoch \d+ of 30; run the same command again to continue from {checkpoint}", last
    )
    assert output.read_bytes() == b"former"
    again = horner(*command)
    assert again.json["epochs"] == 30
    assert [*done, *epochs(again)] == list(range(1, 31))
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
