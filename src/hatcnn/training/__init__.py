"""Recipes, losses, sampler, augmentation and the training loop."""
