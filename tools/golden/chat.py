#!/usr/bin/env python3
"""Golden chats: every template of tests/data/templates over every chat of chats.json, as transformers
renders them.  A chat that the template refuses is null: there the text of the error is our own.

    tools/golden/chat.py [FOLDER]
"""
import json

from golden import ROOT, destination, write_json, write_manifest
from transformers.utils.chat_template_utils import render_jinja_template

TEMPLATES = ROOT / "tests/data/templates"
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def render(template, chat, prompt):
    """What apply_chat_template gives, or None where it fails."""
    messages = [{k: v for k, v in m.items() if v is not None} for m in chat["messages"]]
    try:
        return render_jinja_template(conversations=[messages], tools=chat.get("tools"), chat_template=template,
                                     add_generation_prompt=prompt, **TOKENS, **chat.get("variables", {}))[0][0]
    except Exception:   # raise_exception, undefined variables, types: whatever it is, the chat is refused
        return None


def main():
    folder = destination("tests/golden/chat")
    chats = json.loads((TEMPLATES / "chats.json").read_text())
    write_json(folder / "expect.json", [
        {"template": path.name, "chat": chat["name"], "prompt": prompt, "text": render(path.read_text(), chat, prompt)}
        for path in sorted(TEMPLATES.glob("*.jinja")) for chat in chats for prompt in (False, True)])
    write_manifest(folder, __file__, seed=None)


if __name__ == "__main__":
    main()
