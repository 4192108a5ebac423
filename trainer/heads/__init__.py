"""From features to logits and losses: pooling, matching, transport, evidence. Methods are composed of them."""
