"""Fixtures: the program under test, and model folders made by the Python libraries.

The program is $MALMOI, or build/malmoi.  Its absence is an error and never a skipped test.
"""
import dataclasses
import json
import os
import pathlib
import subprocess

import pytest
import torch
import transformers

import material

ROOT = pathlib.Path(__file__).resolve().parents[2]
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(max(1, min(4, os.cpu_count() or 1)))
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")      # tiny models on a shared machine: do not spin


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="tokenizers: 50 MB of text instead of a sample")


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", "ignore::FutureWarning:transformers")


@dataclasses.dataclass
class Result:
    """What one run of the program left behind."""
    command: list
    code: int
    raw: bytes                   # standard output
    err: str

    @property
    def out(self):
        return self.raw.decode()

    @property
    def json(self):
        return json.loads(self.out)


class Program:
    def __init__(self, path):
        self.path = path

    def arguments(self, *arguments):
        return [str(a) for a in (self.path, *arguments)]

    def __call__(self, *arguments, fails=False, timeout=120):
        """Runs it and demands success, or with `fails` a refusal; the opposite shows what it said."""
        command = self.arguments(*arguments)
        done = subprocess.run(command, capture_output=True, timeout=timeout, cwd=ROOT)
        result = Result(command, done.returncode, done.stdout, done.stderr.decode())
        assert (result.code in (1, 2)) if fails else result.code == 0, \
            f"{' '.join(command)}\nexit {result.code}\n{result.raw.decode(errors='replace')}{result.err}"
        return result


@pytest.fixture(scope="session")
def malmoi():
    path = pathlib.Path(os.environ.get("MALMOI", ROOT / "build/malmoi")).resolve()
    if not os.access(path, os.X_OK):
        pytest.exit(f"{path} is missing: run make, or point MALMOI at the program", returncode=1)
    return Program(path)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """folders(family): a model folder of that family, made once."""
    made = {}

    def folder(family):
        if family not in made:
            made[family] = material.write_model(tmp_path_factory.mktemp(family), family)
        return made[family]
    return folder


@pytest.fixture(scope="session", params=["llama", "gpt2"])
def base(request, folders):
    """A model folder, once for each of the two architectures."""
    return folders(request.param)


@pytest.fixture(scope="session")
def documents():
    """Held-out documents, each shorter than the models' context."""
    return [" ".join(material.sentences(n, seed=100 + n)) for n in (1, 2, 3)]


@pytest.fixture(scope="session")
def held_out(tmp_path_factory, documents):
    """The same documents as a JSONL file."""
    path = tmp_path_factory.mktemp("data") / "held_out.jsonl"
    path.write_text("".join(json.dumps({"text": d}, ensure_ascii=False) + "\n" for d in documents))
    return path


@pytest.fixture(scope="session")
def training(tmp_path_factory):
    """A training file of 200 one-sentence documents."""
    path = tmp_path_factory.mktemp("data") / "training.jsonl"
    path.write_text("".join(json.dumps({"text": s}, ensure_ascii=False) + "\n"
                            for s in material.sentences(200, seed=2)))
    return path
