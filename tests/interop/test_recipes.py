"""The recipes of alignment, killed at random moments with all their processes, as when the machine goes down: each goes
on to the bits of a run that nobody stopped."""
import hashlib
import json
import random
import shutil
import signal
import subprocess
import time

import pytest

import conftest

KILLS = 6
ANSWERS, TASKS = "answers={at}/few.jsonl", "prompts={at}/data/tasks.jsonl"
RECIPES = {
    "sft-dpo": ([ANSWERS, "pairs={at}/pairs.jsonl"], "aligned/model.safetensors"),
    "sft-reward-ppo": ([ANSWERS, TASKS, "pairs={at}/pairs.jsonl", "rounds=3", "tokens=24"], "ppo-adapter/adapter_model.safetensors"),
    "sft-best-of-n": ([ANSWERS, TASKS, "reward=exact:####", "rounds=5", "tokens=24"], "best-of-n/model.safetensors"),
    "verifiable-grpo": ([ANSWERS, TASKS, "held_out={at}/data/tasks_test.jsonl", "reward=exact:####", "sft_steps=20", "rounds=3", "tokens=24"], "grpo/model.safetensors"),
    "prm-expert-iteration": ([ANSWERS, TASKS, "steps={at}/data/prm.jsonl", "reward=exact:####", "sft_steps=20", "prm_steps=20", "rounds=2", "tokens=24"],
                             "tuned/model.safetensors"),
}


@pytest.fixture(scope="module")
def at(malmoi, tmp_path_factory):
    """A folder with a small base and what the recipes learn from."""
    folder = tmp_path_factory.mktemp("recipes")
    subprocess.run([conftest.ROOT / "examples/arithmetic", folder / "data", "300", "1", "20"], check=True, capture_output=True)
    malmoi("tokenizer", "train", "--data", folder / "data/sft.jsonl", "--field", "completion", "--no-initial-alphabet",
           "--alphabet", "0,1,2,3,4,5,6,7,8,9,+,-,*,=,#", "--vocab-size", 60, "--out", folder / "tokens")
    malmoi("new", "--tokenizer", folder / "tokens", "--hidden-size", 32, "--layers", 2, "--heads", 2, "--kv-heads", 2, "--intermediate-size", 64,
           "--context", 128, "--seed", 1, "--out", folder / "base")
    lines = (folder / "data/sft.jsonl").read_text().splitlines()[:60]
    rows = [json.loads(line) for line in lines]
    (folder / "few.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "pairs.jsonl").write_text("".join(json.dumps(dict(prompt=r["prompt"], chosen=r["completion"], rejected=r["completion"][::-1])) + "\n" for r in rows))
    return folder


def command(malmoi, at, name, work):
    """The recipe over a copy of its file, beside which its notes stand."""
    file = at / f"{work}.yaml"
    shutil.copy(conftest.ROOT / f"examples/recipes/{name}.yaml", file)
    values = [f"base={at}/base", f"work={at}/{work}", *(value.format(at=at) for value in RECIPES[name][0])]
    return malmoi.arguments("recipe", file, *(word for value in values for word in ("--set", value)))


def kill_all(process):
    """The program and the step that it runs."""
    children = subprocess.run(["ps", "--ppid", str(process.pid), "-o", "pid="], capture_output=True, text=True).stdout.split()
    process.kill()
    for child in children:
        subprocess.run(["kill", "-9", child], capture_output=True)
    return process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("name", RECIPES)
def test_a_killed_recipe_ends_in_the_same_bits(malmoi, at, name):
    whole, pieces = f"{name}-whole", f"{name}-pieces"
    begin = time.monotonic()
    subprocess.run(command(malmoi, at, name, whole), check=True, capture_output=True)
    took, draw, killed = time.monotonic() - begin, random.Random(5), 0
    for _ in range(KILLS):
        process = subprocess.Popen(command(malmoi, at, name, pieces), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.02, took / 3))
        killed += process.poll() is None and kill_all(process)
        process.wait()
    assert killed, "it must have been killed once"
    done = subprocess.run(command(malmoi, at, name, pieces), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    digests = {hashlib.sha256((at / work / RECIPES[name][1]).read_bytes()).hexdigest() for work in (whole, pieces)}
    assert len(digests) == 1
