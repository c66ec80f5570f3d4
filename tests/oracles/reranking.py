"""k-reciprocal re-ranking (Zhong et al., 2017), dense and literal."""

import numpy as np


def rerank(query, gallery, k1, k2, original):
    everyone = np.concatenate((query, gallery)).astype(np.float64)
    count, queries = len(everyone), len(query)
    squared = ((everyone[:, None] - everyone[None]) ** 2).sum(axis=2)
    distance = squared / squared.max(axis=1, keepdims=True)
    order = np.argsort(distance, axis=1, kind="stable")

    def reciprocal(i, k):
        return [j for j in order[i, : k + 1] if i in order[j, : k + 1]]

    weights = np.zeros((count, count))
    for i in range(count):
        own = reciprocal(i, k1)
        expanded = set(own)
        for candidate in own:
            theirs = reciprocal(candidate, round(k1 / 2))
            if len(set(theirs) & set(own)) > 2 / 3 * len(theirs):
                expanded |= set(theirs)
        members = sorted(expanded)
        weights[i, members] = np.exp(-distance[i, members])
        weights[i] /= weights[i].sum()
    if k2 > 1:
        weights = np.array([weights[order[i, :k2]].mean(axis=0) for i in range(count)])
    jaccard = np.empty((queries, count))
    for i in range(queries):
        for j in range(count):
            jaccard[i, j] = 1 - (
                np.minimum(weights[i], weights[j]).sum() / np.maximum(weights[i], weights[j]).sum()
            )
    return ((1 - original) * jaccard + original * distance[:queries])[:, queries:]
