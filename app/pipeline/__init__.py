"""The pipeline: accounts, contacts and opportunities, whether a lead became them or a farmer made them."""
