"""AdaLoRA's budget step by step: from the same state on, PEFT and malmoi keep the same triplets."""
import json

import pytest
import torch
from peft import AdaLoraConfig, get_peft_model
from safetensors.torch import load_file

import material
import reference

STEPS, LR = 12, 5e-3
TARGETS = {"llama": ["q_proj", "down_proj"], "gpt2": ["c_attn", "mlp.c_proj"]}
BUDGET = {"init_r": 6, "target_r": 2, "tinit": 2, "tfinal": 3, "deltaT": 2}      # choices after steps 4, 6, 8 and, the last, 9


def states(run):
    """What a run's checkpoints hold, by step."""
    return {int(folder.name[5:]): load_file(folder / "training.safetensors") for folder in run.glob("checkpoints/step-*")}


def names(model):
    """PEFT's parameters by malmoi's names."""
    return {n.removeprefix("base_model.model.").replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}


def take_over(model, optimiser, state):
    """The state of a run after a step: weights, moments, importance and its uncertainty."""
    allocator = model.base_model.rankallocator
    for name, p in names(model).items():
        with torch.no_grad():
            p.copy_(state[name])
        optimiser.state[p] = {"step": torch.tensor(1.0), "exp_avg": state[f"exp_avg:{name}"].clone(), "exp_avg_sq": state[f"exp_avg_sq:{name}"].clone()}
        full = "base_model.model." + name + ".default"
        allocator.ipt[full] = torch.zeros_like(p)
        allocator.exp_avg_ipt[full] = state[f"importance:{name}"].clone()
        allocator.exp_avg_unc[full] = state[f"uncertainty:{name}"].clone()


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_same_triplets_are_kept(malmoi, folders, family, tmp_path):
    text = " ".join(material.sentences(4, seed=9))
    (tmp_path / "one.jsonl").write_text(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    options = [o for key, value in BUDGET.items() for o in ("--" + {"deltaT": "delta-t"}.get(key, key.replace("_", "-")), value)]
    malmoi("train", "clm", "--model", folders(family), "--data", tmp_path / "one.jsonl", "--adapter", "adalora", *options, "--lora-alpha", 8,
           "--target-modules", ",".join(TARGETS[family]), "--steps", STEPS, "--save-every", 1, "--keep", 0, "--lr", LR, "--schedule", "constant",
           "--warmup", 0, "--clip", 0, "--weight-decay", 0, "--dtype", "f32", "--out", tmp_path / "run")
    here = states(tmp_path / "run")

    model, tokenizer = material.open_model(folders(family))
    model = get_peft_model(model, AdaLoraConfig(task_type="CAUSAL_LM", total_step=STEPS, lora_alpha=8, target_modules=TARGETS[family],
                                                fan_in_fan_out=family == "gpt2", **BUDGET))
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LR, weight_decay=0)
    take_over(model, optimiser, here[1])
    ids = reference.learnt(tokenizer, text)[None]
    kept = {}
    for step in range(2, STEPS + 1):
        optimiser.zero_grad()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimiser.step()
        model.base_model.update_and_allocate(step)
        assert reference.logged(tmp_path / "run", "loss")[step - 1] == pytest.approx(loss.item(), abs=1e-3)
        pattern = model.peft_config["default"].rank_pattern
        for name, p in names(model).items():
            if name.endswith("lora_E"):
                mask = here[step][f"mask:{name}"].flatten().bool().tolist()
                if pattern:
                    assert mask == next(v for n, v in pattern.items() if name in n), f"step {step}: {name}"
                torch.testing.assert_close(p.data, here[step][name], atol=1e-3, rtol=1e-2, msg=lambda m: f"step {step}: {name}: {m}")
        kept[step] = sum(int(here[step][n].sum()) for n in here[step] if n.startswith("mask:"))
    sites = len([n for n in here[1] if n.startswith("mask:")])
    assert kept[3] == 6 * sites and kept[4] < kept[3] and kept[9] == kept[STEPS] == 2 * sites
