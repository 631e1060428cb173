"""The pipeline: accounts, contacts and opportunities, made by a conversion or directly."""
