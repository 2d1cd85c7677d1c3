"""The work that malmoi and its peers are measured on: Hugging Face names, one place for both sides."""

B, T = 4, 512                                  # sequences of a step, tokens of a sequence

# GPT-2 "small": 124M parameters, tied embeddings.
GPT2 = dict(vocab_size=50257, n_positions=1024, n_embd=768, n_layer=12, n_head=12)

# A LLaMA of 110M parameters, tied embeddings.
LLAMA = dict(vocab_size=32000, hidden_size=768, intermediate_size=2048, num_hidden_layers=12,
             num_attention_heads=12, num_key_value_heads=12, max_position_embeddings=1024,
             rms_norm_eps=1e-5, tie_word_embeddings=True)
LORA_RANK = 16
VIRTUAL_TOKENS = 20
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
VERA_RANK = 256                                # PEFT's default
VERA_TARGETS = ["q_proj", "v_proj"]            # of one shape, which PEFT's projections ask for
ADAPTER_LEN, ADAPTER_LAYERS = 10, 12
LAST_LAYERS = 1
PAIRS, PROMPT, ANSWER = 4, 128, 128            # of a DPO step; tokens of a prompt and of each answer with its end
ROLLOUTS, ROLLOUT_TOKENS = 16, 128             # prompts answered at once, tokens of an answer
