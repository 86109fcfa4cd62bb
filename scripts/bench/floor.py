"""The floor of an update: for each changed file the better of bsdiff and of zstd-19 with the old file as dictionary.

    floor.py OLD NEW      folders with the extracted roots, or files; prints `floor BYTES`

Files are matched by path, else by path with version numbers made equal. Needs the packages bsdiff4 and zstandard.
"""

import hashlib
import os
import re
import sys

import bsdiff4
import zstandard


def files(place):
    if os.path.isfile(place):
        yield "", place
    for folder, _, names in os.walk(place):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield os.path.relpath(path, place), path


def read(path):
    with open(path, "rb") as file:
        return file.read()


def pattern(path):
    return re.sub(r"\d+(\.\d+)*", "#", path)


def with_dictionary(old, new):
    dictionary = None
    if old:
        dictionary = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    parameters = zstandard.ZstdCompressionParameters.from_level(19, window_log=27, enable_ldm=True)
    return len(zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters).compress(new))


def main(old_place, new_place):
    old = dict(files(old_place))
    have = {hashlib.sha256(read(path)).digest() for path in old.values()}
    alike = {}
    for path in sorted(old):
        alike.setdefault(pattern(path), []).append(path)
    total = count = raw = 0
    for path, place in sorted(files(new_place)):
        new = read(place)
        if hashlib.sha256(new).digest() in have:
            continue
        candidates = [path] if path in old else alike.get(pattern(path), [])
        same_name = [c for c in candidates if os.path.basename(c) == os.path.basename(path)]
        source = next(iter(same_name or candidates), None)
        before = read(old[source]) if source is not None else b""
        costs = [with_dictionary(before, new)]
        if before:
            costs.append(len(bsdiff4.diff(before, new)))
        total, count, raw = total + min(costs), count + 1, raw + len(new)
    print("changed-files", count)
    print("changed-bytes", raw)
    print("floor", total)


main(*sys.argv[1:])
