"""A driver's wallet: a key for every session, the receipts, and the way to the chain that needs nobody's goodwill."""
