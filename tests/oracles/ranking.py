"""The field's protocol, word for word, one query and one gallery picture at a time."""


def rank(distances, query_pids, query_camids, gallery_pids, gallery_camids):
    """Per query: (first rank or 0, average precision or None, inverse negative penalty or None)."""
    results = []
    for row, pid, camid in zip(distances, query_pids, query_camids, strict=True):
        kept = [
            (distance, position, gallery_pid == pid)
            for position, (distance, gallery_pid, gallery_camid) in enumerate(
                zip(row, gallery_pids, gallery_camids, strict=True)
            )
            if not (gallery_pid == pid and gallery_camid == camid)
        ]
        kept.sort(key=lambda item: item[:2])
        match_ranks = [r for r, (_, _, match) in enumerate(kept, start=1) if match]
        if not match_ranks or pid == 0:
            results.append((0, None, None))
            continue
        precisions = [found / r for found, r in enumerate(match_ranks, start=1)]
        results.append(
            (
                match_ranks[0],
                sum(precisions) / len(precisions),
                len(match_ranks) / match_ranks[-1],
            )
        )
    return results
