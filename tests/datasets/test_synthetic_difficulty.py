import numpy as np

from hatcnn.datasets import pack
from hatcnn.datasets.synthetic import synthetic_people
from hatcnn.evaluation import Features, distance_blocks, rank


def test_raw_pixels_do_not_recognise_anybody():
    data = synthetic_people()
    sides = []
    for split in (data.query, data.gallery):
        pixels = pack(data.store, split, 32, 16).images.reshape(len(split), -1) / np.float32(255)
        sides.append(Features(pixels, split.pids, split.camids, np.array(split.names)))
    query, gallery = sides
    ranking = rank(distance_blocks(query.vectors, gallery.vectors), query, gallery)
    assert ranking.matched.all()
    assert ranking.rank(1) < 0.3
