"""PyTorch's twins of the models whose adapters travel between PEFT and needle."""


import numpy as np
import peft
import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Causal self-attention with one projection, `qkv`, or with three."""

    def __init__(self, width, heads, fused):
        super().__init__()
        self.heads = heads
        if fused:
            self.qkv = nn.Linear(width, 3 * width)
        else:
            self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x):
        parts = self.qkv(x).chunk(3, -1) if hasattr(self, "qkv") else (self.q_proj(x), self.k_proj(x), self.v_proj(x))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width, heads, fused):
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        setattr(self, "attention" if fused else "attn", Attention(width, heads, fused))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        attention = self.attention if hasattr(self, "attention") else self.attn
        h = x + attention(self.norm_1(x))
        return h + self.down(F.gelu(self.up(self.norm_2(h)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, fused, vocabulary=65, context=8, width=16, layers=2, heads=2):
        super().__init__()
        self.tok, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        setattr(self, "blocks" if fused else "h", nn.ModuleList(Block(width, heads, fused) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)

    def forward(self, ids):
        x = self.tok(ids) + self.positions(torch.arange(ids.shape[1]))
        for block in self.blocks if hasattr(self, "blocks") else self.h:
            x = block(x)
        return self.norm(x) @ self.tok.weight.T


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3, 2, 1), nn.ReLU(),
            nn.Flatten(),
        )  # fmt: skip
        self.classifier = nn.Linear(5 * 4 * 4, 3)

    def forward(self, x):
        return self.classifier(self.features(x))


def twin(key, state):
    """The PyTorch model with the weights of a needle model's state, which it has under other names, outputs first."""
    model = Convolutions() if key == "convolutions" else GPT(fused=key == "gpt, fused")
    own = {}
    for name, array in state.items():
        name = name.replace("modules.", "")
        if array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)
        elif array.ndim == 2 and "embedding" not in name and "positions" not in name:
            array = array.T
        if name.endswith("bias"):
            array = array.reshape(-1)
        name = name.replace("embedding", "tok")
        if key == "gpt" and name.startswith("blocks"):
            name = name.replace("blocks", "h").replace("attention", "attn")
            if ".qkv." in name:
                for part, piece in zip("qkv", np.split(array, 3), strict=True):
                    own[name.replace("qkv", f"{part}_proj")] = torch.tensor(piece)
                continue
        own[name] = torch.tensor(np.ascontiguousarray(array))
    left = model.load_state_dict(own, strict=False)
    assert not left.unexpected_keys and all("num_batches" in name for name in left.missing_keys)
    return model.eval()


TARGETS = {
    "gpt": ["q_proj", "v_proj", "up", "tok"], "gpt, fused": ["qkv", "out"],
    "convolutions": ["features.0", "features.3", "classifier"],
}  # fmt: skip


def trained(key, state, x, rslora):
    """The twin with an adapter that PEFT has trained for a few steps."""
    torch.manual_seed(0)
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=TARGETS[key], use_rslora=rslora)
    model = peft.get_peft_model(twin(key, state), config)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(3):
        optimizer.zero_grad()
        model(tensor(x)).square().mean().backward()
        optimizer.step()
    return model.eval()


def tensor(x):
    x = np.asarray(x)
    return torch.tensor(x.astype("int64") if x.ndim == 2 else x.astype("float32"))


def run(model, x):
    with torch.no_grad():
        return model(tensor(x)).numpy()
