"""The committed golden data is what its manifest says, and what its script computes today."""
import hashlib
import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from conftest import ROOT

GOLDEN = ROOT / "tests/golden"
MADE_BY_TORCH = ["model", "lora"]


@pytest.mark.parametrize("manifest", sorted(GOLDEN.rglob("manifest.json")), ids=lambda p: p.parent.name)
def test_files_are_those_of_the_manifest(manifest):
    listed = json.loads(manifest.read_text())["sha256"]
    found = {str(f.relative_to(manifest.parent)): hashlib.sha256(f.read_bytes()).hexdigest()
             for f in manifest.parent.rglob("*") if f.is_file() and f != manifest}
    assert found == listed


@pytest.mark.parametrize("topic", MADE_BY_TORCH)
def test_the_script_computes_the_same_numbers(topic, tmp_path):
    subprocess.run([sys.executable, ROOT / "tools/golden" / f"{topic}.py", tmp_path], check=True, capture_output=True)
    files = sorted(f.relative_to(GOLDEN / topic) for f in (GOLDEN / topic).rglob("*.safetensors"))
    assert files == sorted(f.relative_to(tmp_path) for f in tmp_path.rglob("*.safetensors"))
    for file in files:
        committed, fresh = load_file(GOLDEN / topic / file), load_file(tmp_path / file)
        assert committed.keys() == fresh.keys()
        for name in committed:   # another CPU sums in another order
            torch.testing.assert_close(fresh[name], committed[name], rtol=2e-4, atol=2e-5, msg=lambda m: f"{file} {name}: {m}")


def test_the_libraries_make_the_same_ids_of_the_committed_tokenizers(tmp_path):
    shutil.copytree(GOLDEN / "token", tmp_path, dirs_exist_ok=True)
    (tmp_path / "expect.json").unlink()
    subprocess.run([sys.executable, ROOT / "tools/golden/vocabularies.py", tmp_path], check=True, capture_output=True)
    assert json.loads((tmp_path / "expect.json").read_text()) == json.loads((GOLDEN / "token/expect.json").read_text())
