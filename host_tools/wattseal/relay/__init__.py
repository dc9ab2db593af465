"""From the plug's link to the store and the gateway: checks, keeps, acknowledges and settles receipts."""
