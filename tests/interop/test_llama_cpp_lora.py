"""A LoRA adapter that malmoi exports, in llama.cpp itself: PEFT's logits.

llama.cpp is built from source and not among the requirements; see test_llama_cpp.py.
"""
import gguf
import pytest
import torch
from peft import PeftModel

import material
from test_adapter import TARGETS, family_of, peft_adapter
from test_adapter_tools import permuted

llama_cpp = pytest.importorskip("llama_cpp", reason="llama.cpp is not here: pip install llama-cpp-python")


def write_base(model, family, path):
    """A transformers model as GGUF in f32, with ids in place of a vocabulary."""
    c = model.config
    writer = gguf.GGUFWriter(path, family)
    writer.add_context_length(c.max_position_embeddings), writer.add_embedding_length(c.hidden_size)
    writer.add_block_count(c.num_hidden_layers), writer.add_head_count(c.num_attention_heads)
    writer.add_feed_forward_length(c.intermediate_size if family == "llama" else 4 * c.hidden_size)
    writer.add_vocab_size(c.vocab_size), writer.add_tokenizer_model("no_vocab")
    if family == "llama":
        writer.add_head_count_kv(c.num_key_value_heads), writer.add_layer_norm_rms_eps(c.rms_norm_eps)
        writer.add_rope_dimension_count(c.hidden_size // c.num_attention_heads)
        writer.add_rope_freq_base(c.rope_parameters["rope_theta"])
    else:
        writer.add_layer_norm_eps(c.layer_norm_epsilon)
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, family.upper()), c.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and c.tie_word_embeddings or name.endswith(".attn.bias"):
            continue
        if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            tensor = tensor.T
        if family == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
            tensor = permuted(tensor, c.num_attention_heads if "q_proj" in name else c.num_key_value_heads)
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), tensor.contiguous().float().numpy())
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()


@pytest.mark.parametrize("options", [{}, {"use_rslora": True, "alpha_pattern": {"v_proj": 5, "c_attn": 5}, "rank_pattern": {"q_proj": 2, "mlp.c_proj": 2}}], ids=str)
def test_an_exported_adapter(malmoi, base, tmp_path, options):
    family = family_of(base)
    adapter = peft_adapter(base, tmp_path / "a", target_modules=TARGETS[family] + (["k_proj", "lm_head"] if family == "llama" else []), **options)
    malmoi("adapter", "export", adapter, "--to", "gguf", "--out", tmp_path / "a.gguf")
    model, _ = material.open_model(base)
    write_base(model, family, tmp_path / "base.gguf")

    ids = torch.randint(model.config.vocab_size, (1, 24), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = model(ids).logits[0]
        expected = PeftModel.from_pretrained(model, adapter)(ids).logits[0]

    def logits(**lora):
        opened = llama_cpp.Llama(model_path=str(tmp_path / "base.gguf"), n_ctx=64, logits_all=True, verbose=False, n_threads=2, **lora)
        opened.eval(ids[0].tolist())
        return torch.from_numpy(opened.scores[:ids.shape[1]].copy())

    bound = 2e-3 * expected.abs().max()                  # llama.cpp keeps keys and values in f16
    assert (logits() - plain).abs().max() < bound        # the file of the base is right
    assert (expected - plain).abs().max() > 10 * bound   # and the adapter does something
    assert (logits(lora_path=str(tmp_path / "a.gguf")) - expected).abs().max() < bound
