"""tests/golden/lstm: a bidirectional LSTM of torch over two sequences, in f64.

    build/venv/bin/python tools/golden/lstm.py [FOLDER]

expect.safetensors: x [N, I] of both sequences end to end (lengths in `lengths`), the parameters under torch's
names, y [N, 2H], a read-out r [N, 2H], and the gradient of sum(r * y) by x and by every parameter (grad.NAME).
The second bias of each direction is zero: here a layer has one.
"""
import torch
from safetensors.torch import save_file

import golden

SEED, WIDTH, HIDDEN, LENGTHS = 70, 5, 7, (6, 4)


def main():
    out = golden.destination("tests/golden/lstm")
    torch.manual_seed(SEED)
    lstm = torch.nn.LSTM(WIDTH, HIDDEN, bidirectional=True).double()
    with torch.no_grad():
        for name, p in lstm.named_parameters():
            p.copy_(torch.zeros_like(p) if name.startswith("bias_hh") else 0.6 * torch.randn_like(p))
    x = torch.randn(sum(LENGTHS), WIDTH, dtype=torch.float64, requires_grad=True)
    r = torch.randn(sum(LENGTHS), 2 * HIDDEN, dtype=torch.float64)
    y = torch.cat([lstm(part)[0] for part in x.split(LENGTHS)])
    (r * y).sum().backward()
    parameters = dict(lstm.named_parameters())
    save_file(golden.contiguous({"x": x, "y": y, "r": r, "grad.x": x.grad, "lengths": torch.tensor(LENGTHS)}
                                | parameters | {f"grad.{n}": p.grad for n, p in parameters.items()}), out / "expect.safetensors")
    golden.write_manifest(out, __file__, SEED, ("torch", "safetensors"))


if __name__ == "__main__":
    main()
