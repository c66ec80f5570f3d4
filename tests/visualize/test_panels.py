import numpy as np
import pytest
from matplotlib.figure import Figure

from hatcnn.visualize.panels import signed_heat


@pytest.mark.parametrize("size", [(8, 4096), (4096, 8), (128, 64)])
def test_heat_takes_little_memory_whatever_the_picture(size):
    axes = Figure().add_subplot()
    values = np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4)
    signed_heat(axes, np.zeros((*size, 3), np.uint8), values, largest=1.0)
    heat = axes.images[-1].get_array()
    assert heat.shape[2] == 4
    assert heat.size < 2_000_000
    assert min(heat.shape[:2]) >= 2
