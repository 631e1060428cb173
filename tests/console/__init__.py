"""The console, by HTTP without JavaScript."""
