"""Chats are what apply_chat_template renders, and their tokens what it encodes."""
import json
import subprocess
import sys

import pytest

import material
from conftest import ROOT

TEMPLATES = ROOT / "tests/data/templates"
CHATS = json.loads((TEMPLATES / "chats.json").read_text())
NAMES = sorted(p.name for p in TEMPLATES.glob("*.jinja"))


def with_template(tokenizer, name, folder):
    tokenizer.chat_template = (TEMPLATES / name).read_text()
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    tokenizer = material.byte_level_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>", "additional_special_tokens": [
        "<|im_start|>", "<|im_end|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "[INST]", "[/INST]"]})
    return tokenizer


def run(malmoi, folder, chat, tmp_path, *options, fails=False):
    """The JSON of `malmoi template`."""
    (tmp_path / "chat.json").write_text(json.dumps({"messages": chat["messages"], "tools": chat.get("tools")}))
    settings = [x for k, v in chat.get("variables", {}).items() for x in ("--set", f"{k}={json.dumps(v)}")]
    return malmoi("template", folder, "--messages", tmp_path / "chat.json", *settings, *options, "--json", fails=fails)


def expected(tokenizer, chat, **options):
    return tokenizer.apply_chat_template(chat["messages"], tools=chat.get("tools"), **chat.get("variables", {}), **options)


@pytest.mark.parametrize("name", NAMES)
def test_text_and_ids(malmoi, tokenizer, tmp_path, name):
    with_template(tokenizer, name, tmp_path)
    for chat in CHATS:
        for prompt in (False, True):
            flags = ["--add-generation-prompt"] if prompt else []
            try:
                text = expected(tokenizer, chat, tokenize=False, add_generation_prompt=prompt)
            except Exception:
                run(malmoi, tmp_path, chat, tmp_path, *flags, fails=True)
                continue
            ours = run(malmoi, tmp_path, chat, tmp_path, *flags).json
            assert ours["text"] == text, chat["name"]
            if chat["name"] != "question":   # whose content spells a special token
                assert ours["ids"] == tokenizer(text, add_special_tokens=False)["input_ids"], chat["name"]


def test_content_is_no_special_token(malmoi, tokenizer, tmp_path):
    """transformers' own way of keeping content out of special tokens gives the same ids."""
    with_template(tokenizer, "chatml.jinja", tmp_path)
    chat = next(c for c in CHATS if c["name"] == "question")
    ours = run(malmoi, tmp_path, chat, tmp_path).json["ids"]
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert ours.count(end) == 1
    assert tokenizer.decode(ours) == expected(tokenizer, chat, tokenize=False)


@pytest.mark.parametrize("chat", [c for c in CHATS if c["name"] in ("single", "system", "turns")], ids=lambda c: c["name"])
def test_generation_blocks(malmoi, tokenizer, tmp_path, chat):
    """{% generation %} marks the tokens that transformers' assistant mask has."""
    with_template(tokenizer, "phi3_generation.jinja", tmp_path)
    theirs = tokenizer.apply_chat_template(chat["messages"], return_dict=True, return_assistant_tokens_mask=True)
    ours = run(malmoi, tmp_path, chat, tmp_path, "--answers").json
    assert ours["ids"] == theirs["input_ids"]
    text = ours["text"].encode()
    answers = [text[b:e].decode() for b, e in ours["answers"]]
    runs, before = [], 0
    for token, mask in zip(theirs["input_ids"], theirs["assistant_masks"]):
        if mask:
            runs = runs[:-1] + [runs[-1] + [token]] if before else runs + [[token]]
        before = mask
    assert answers == [tokenizer.decode(r) for r in runs]


def test_golden_texts_are_todays(tmp_path):
    subprocess.run([sys.executable, ROOT / "tools/golden/chat.py", tmp_path], check=True, capture_output=True)
    assert (tmp_path / "expect.json").read_bytes() == (ROOT / "tests/golden/chat/expect.json").read_bytes()
