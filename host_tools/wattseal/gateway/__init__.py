"""The gateway: submits to the chain, and accepts a result only with its proof."""
