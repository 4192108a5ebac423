"""Building blocks of methods, from features to logits and losses: pooling, matching, transport, evidence."""
