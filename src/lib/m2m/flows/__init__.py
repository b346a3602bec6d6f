"""Normalizing flows: masked autoregressive networks, bijectors, and distributions made of them."""
