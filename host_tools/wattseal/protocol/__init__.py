"""What is signed and what crosses the link: docs/protocol.md."""
