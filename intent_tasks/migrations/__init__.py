"""The history of schema `intent`, applied by `intent migrate`."""
