"""The lifecycle policy: its document, its conditions, the facts they are evaluated on, and its checks. Pure."""
