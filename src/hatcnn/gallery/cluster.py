"""Building the index on many machines, by lance-ray."""

from __future__ import annotations

from hatcnn.errors import ConfigError
from hatcnn.gallery.store import TABLE, VECTOR_INDEX, Store


def build_on_cluster(store: Store, partitions: int, *, sample: int, iterations: int) -> None:
    """Make or remake the index on the Ray cluster that this process has joined.

    This process finds the partitions' centres from a sample. Each worker codes a share of the
    table's files, which it reads itself, and this process commits all their shares at once: until
    then, and when it fails, the gallery keeps the index that it had.

    Args:
        store: of the gallery, which every machine reaches under the same name.
        partitions: into which the index is divided.
        sample: entries a partition that its centre is found from.
        iterations: steps of finding it.

    Raises:
        ConfigError: when lance-ray is not installed.
        GalleryError: when it cannot be written.
    """
    try:
        import ray
        from lance_ray import create_index
    except ImportError:
        raise ConfigError(
            "building the index on many machines needs lance-ray, which is not installed: "
            'pip install "hatcnn[distributed]"'
        ) from None
    workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
    with store.translated("index"):
        create_index(
            f"{store.uri.rstrip('/')}/{TABLE}.lance",
            column="vector",
            index_type="IVF_RQ",
            name=VECTOR_INDEX,
            metric="cosine",
            num_partitions=partitions,
            sample_rate=sample,
            max_iters=iterations,
            num_workers=workers,
            # Said because the libraries' defaults differ.
            num_bits=1,
            storage_options=store.storage_options,
        )
