"""The policy: the document both teams sign, the facts it looks at, its conditions and its checks. Pure."""
