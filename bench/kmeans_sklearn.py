#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""kmeans_sklearn.py FILE ROWS K RUNS: scikit-learn's nearest centroids of the float32 rows in FILE (k
centroids first), one thread; prints the inertia and the nanoseconds a row of each run. 77: not installed."""

import os
import sys
import time

for name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'):
    os.environ[name] = '1'
try:
    import numpy
    from sklearn.cluster import KMeans
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(77)

DIMS = 16


def main():
    path, rows, k, runs = sys.argv[1], *map(int, sys.argv[2:5])
    data = numpy.fromfile(path, dtype=numpy.float32).reshape(-1, DIMS)
    centroids, data = data[:k].copy(), data[k:k + rows].copy()
    model = KMeans(n_clusters=k, init=centroids, n_init=1, max_iter=1)
    model.fit(data[:max(k, 1000)])
    model.cluster_centers_ = centroids
    times = []
    for _ in range(runs + 1):
        begin = time.perf_counter()
        labels = model.predict(data)
        times.append((time.perf_counter() - begin) * 1e9 / rows)
    difference = data.astype(numpy.float64) - centroids[labels].astype(numpy.float64)
    print((difference ** 2).sum(), *times[1:])


if __name__ == '__main__':
    main()
