"""What the patches of a vision transformer looked at, from the attention of all its layers.

Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, section 3: attention rollout.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn


def has_attention_rollout(backbone: nn.Module) -> bool:
    """Whether a backbone is a plain vision transformer of timm that takes the mean of its tokens."""
    return (
        type(backbone) is VisionTransformer
        and backbone.global_pool == "avg"
        and backbone.attn_pool is None
        and all(
            type(block) is Block and type(block.attn).__name__ == "Attention" for block in backbone.blocks
        )
    )


def attention_rollout(backbone: nn.Module, pixels: Tensor) -> Tensor:
    """How much of the pooled features flowed in from each patch, by attention alone.

    In each layer the heads' attention is averaged and half of it is the token's own path past the attention
    (0.5 A + 0.5 I); the layers' matrices are multiplied. The tokens of which the network takes the mean are
    averaged likewise. What comes out is the same for all classes.

    Args:
        backbone: One that `has_attention_rollout`.
        pixels: Normalised crops (B, 3, S, S).

    Returns:
        float32 (B, h, w), at least 0; what flowed in from tokens that are no patches is missing from 1.
    """
    assert isinstance(backbone, VisionTransformer)
    tokens = backbone.norm_pre(backbone.patch_drop(backbone._pos_embed(backbone.patch_embed(pixels))))
    count = tokens.shape[1]
    own = torch.eye(count, device=tokens.device)
    flow = own.expand(len(tokens), count, count)
    layers: Any = backbone.blocks
    for block in layers:
        flow = (0.5 * attention(block.attn, block.norm1(tokens)).mean(dim=1) + 0.5 * own) @ flow
        tokens = block(tokens)
    others = backbone.num_prefix_tokens  # class and register tokens, which come first
    pooled = flow if getattr(backbone, "pool_include_prefix", False) else flow[:, others:]
    side = math.isqrt(count - others)
    return pooled[:, :, others:].mean(dim=1).unflatten(1, (side, side))


def attention(layer: Any, tokens: Tensor) -> Tensor:  # noqa: ANN401 - timm's Attention, wherever it is defined
    """The attention of each head, float32 (B, heads, N, N), rows sum to 1, for tokens (B, N, D)."""
    batch, count, _ = tokens.shape
    qkv = layer.qkv(tokens).reshape(batch, count, 3, layer.num_heads, layer.head_dim)
    query, key, _ = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    query, key = layer.q_norm(query).float(), layer.k_norm(key).float()
    return (layer.scale * query @ key.transpose(-2, -1)).softmax(dim=-1)
