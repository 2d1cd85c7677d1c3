"""examples/arithmetic: its solutions and labels, worked out once more."""
import json
import pathlib
import re
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "arithmetic"
OPS = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}


@pytest.fixture(scope="module", params=[99, 20])
def largest(request):
    return request.param


@pytest.fixture(scope="module")
def made(tmp_path_factory, largest):
    folder = tmp_path_factory.mktemp("arithmetic")
    subprocess.run([SCRIPT, folder, "400", "7", str(largest)], check=True)
    return folder


def rows(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def solution(prompt, largest):
    """The right steps for a task, none of whose numbers is beyond the largest."""
    value, *rest = re.fullmatch(r"(\d+)((?:[-+*]\d+)+)\n", prompt).groups()
    value, steps = int(value), []
    for op, operand in re.findall(r"([-+*])(\d+)", rest[0]):
        result = OPS[op](value, int(operand))
        assert 0 <= result <= largest
        steps.append(f"{value}{op}{operand}={result}")
        value = result
    return steps + [f"#### {value}"]


@pytest.mark.parametrize("ending", [".jsonl", "_test.jsonl"])
def test_solutions_and_labels_are_right(made, largest, ending):
    for row in rows(made, "sft" + ending):
        assert row["completion"].split("\n") == solution(row["prompt"], largest)
    for row in rows(made, "tasks" + ending):
        assert f"#### {row['answer']}" == solution(row["prompt"], largest)[-1]
    wrong = 0
    for row in rows(made, "prm" + ending):
        right = solution(row["prompt"], largest)
        first = next((i for i, (a, b) in enumerate(zip(right, row["completions"])) if a != b), len(right))
        assert row["labels"] == [True] * first + [False] * (first < len(right)) + [None] * (len(right) - first - 1)
        wrong += first < len(right)
    assert 0.4 < wrong / len(rows(made, "prm" + ending)) < 0.6
    for judged, mixed in zip(rows(made, "prm" + ending), rows(made, "mixed" + ending), strict=True):
        assert mixed == {"prompt": judged["prompt"], "completion": "\n".join(judged["completions"])}


def test_what_is_held_out_stands_nowhere_else(made):
    kinds = ["sft", "tasks", "prm", "mixed"]
    seen, held = ({row["prompt"] for kind in kinds for row in rows(made, kind + ending)} for ending in (".jsonl", "_test.jsonl"))
    assert seen and held and not seen & held


def test_a_seed_gives_the_same_bytes(made, largest, tmp_path):
    subprocess.run([SCRIPT, tmp_path, "400", "7", str(largest)], check=True)
    for path in made.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


@pytest.mark.parametrize("largest", ["8", "100", "twenty"])
def test_a_largest_that_makes_no_sense(tmp_path, largest):
    done = subprocess.run([SCRIPT, tmp_path, "10", "1", largest], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == f"examples/arithmetic: LARGEST: expected 9 .. 99, found '{largest}'\n"
