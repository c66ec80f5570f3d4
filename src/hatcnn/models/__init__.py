"""The networks, and nothing else: blocks, attention, HA-CNN, HAT-CNN, model folders."""
