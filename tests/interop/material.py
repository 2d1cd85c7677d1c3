"""Tiny models, tokenizers and texts that the tests make for themselves, all seeded.

A model folder made here is what a user downloads: weights, configuration and tokenizer, written by
the Python libraries.  Models are random, with a spread wide enough that attention is far from
uniform and the best next token is rarely a near tie.
"""
import json
import random

import peft
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (AutoModelForCausalLM, AutoTokenizer, GPT2Config, LlamaConfig, MistralConfig,
                          PreTrainedTokenizerFast, Qwen2Config)

CONTEXT = 128
VOCABULARY = 420

SUBJECTS = ["The miller", "A grey heron", "My neighbour's daughter", "The last ferry", "할머니는", "작은 고양이가",
            "우리 반 아이들은", "늙은 어부가"]
VERBS = ["waited beside", "could not forget", "sang about", "walked twice around", "천천히", "오늘도",
         "비가 그친 뒤에", "아무 말 없이"]
OBJECTS = ["the frozen river.", "a lamp that never went out.", "three loaves of bread.", "the harbour wall.",
           "강가를 걸었다.", "보리밥을 먹었다.", "낡은 책을 펼쳤다.", "바다를 바라보았다."]


def sentences(count, seed):
    """Short English, Korean and mixed sentences."""
    draw = random.Random(seed)
    return [" ".join(draw.choice(part) for part in (SUBJECTS, VERBS, OBJECTS)) for _ in range(count)]


def byte_level_tokenizer():
    """Like GPT-2's: byte-level BPE; one special token begins, ends and separates."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(sentences(400, seed=1), trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


def sentencepiece_tokenizer():
    """Like LLaMA's: BPE over words led by U+2581, unknown characters as bytes, <s> first."""
    special, as_bytes = ["<unk>", "<s>", "</s>"], [f"<0x{b:02X}>" for b in range(256)]
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trained.train_from_iterator(sentences(400, seed=1), trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special + as_bytes, show_progress=False))
    # The byte pieces must be ordinary vocabulary, not special tokens: rebuilt from what was learnt.
    vocabulary = trained.get_vocab()
    learnt = json.loads(trained.to_str())["model"]["merges"]
    tokenizer = Tokenizer(models.BPE(vocabulary, [tuple(m) for m in learnt], unk_token="<unk>",
                                     byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = trained.normalizer
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", vocabulary["<s>"])])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


LLAMA = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=CONTEXT, tie_word_embeddings=False,
             bos_token_id=1, eos_token_id=2)
FAMILIES = {
    "llama": lambda: (LlamaConfig(vocab_size=VOCABULARY, **LLAMA), sentencepiece_tokenizer()),
    "llama3": lambda: (LlamaConfig(vocab_size=VOCABULARY, **LLAMA, rope_parameters={
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 32}), sentencepiece_tokenizer()),
    "mistral": lambda: (MistralConfig(vocab_size=VOCABULARY, **LLAMA, sliding_window=9), sentencepiece_tokenizer()),
    "qwen2": lambda: (Qwen2Config(vocab_size=VOCABULARY, **LLAMA | dict(
        tie_word_embeddings=True, bos_token_id=0, eos_token_id=0)), byte_level_tokenizer()),
    "gpt2": lambda: (GPT2Config(vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=64, n_layer=2, n_head=4,
                                bos_token_id=0, eos_token_id=0, attn_pdrop=0.0, embd_pdrop=0.0,
                                resid_pdrop=0.0), byte_level_tokenizer()),
}


def make_model(family, seed=7):
    """A random model of the family, and its tokenizer."""
    config, tokenizer = FAMILIES[family]()
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn_like(p)
            is_norm = p.dim() == 1 and name.endswith("weight")
            p.copy_(1 + 0.2 * noise if is_norm else 0.1 * noise if p.dim() == 1 else 0.15 * noise)
    return model, tokenizer


def write_model(folder, family, **options):
    """make_model, saved; options go to save_pretrained."""
    model, tokenizer = make_model(family)
    model.save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)
    return folder


def open_model(folder):
    """A folder as the Python libraries read it: (model, tokenizer), f32."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def save_random_adapter(model, config, folder, scale):
    """An adapter of PEFT over the model, everything that trains moved away from its start, as PEFT saves it."""
    torch.manual_seed(3)
    model = peft.get_peft_model(model, config)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(scale * torch.randn_like(p))
    model.save_pretrained(folder)
    return folder
