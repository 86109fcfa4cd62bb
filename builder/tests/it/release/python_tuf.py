"""Downloads a release from a repository with python-tuf, the reference implementation of the TUF specification, over HTTP.

usage: python_tuf.py REPOSITORY ROOT WORK

Prints what it found as JSON: the versions that each channel offers, and for each release how many parts were fetched whose
digests are those of its document.
"""

import hashlib
import http.server
import json
import pathlib
import sys
import threading
import urllib.request

from tuf.ngclient import Updater


class Quiet(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments):
        super().__init__(*arguments, directory=sys.argv[1])

    def log_message(self, *_):
        pass


def parts(value):
    """All objects of a document that name bytes by digest, but for heads of patches and what comes out of the parts."""
    if isinstance(value, dict):
        if "sha256" in value:
            yield value
        else:
            for inner in value.values():
                yield from parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from parts(inner)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
work = pathlib.Path(sys.argv[3])
trust, targets = work / "trust", work / "targets"
trust.mkdir()
targets.mkdir()
updater = Updater(
    metadata_dir=str(trust),
    metadata_base_url=f"{base}/metadata/",
    target_dir=str(targets),
    target_base_url=f"{base}/targets/",
    bootstrap=pathlib.Path(sys.argv[2]).read_bytes(),
)
updater.refresh()


def document(name):
    target = updater.get_targetinfo(name)
    assert target is not None, name
    return json.loads(pathlib.Path(updater.download_target(target)).read_bytes())


channel = document("web.stable.json")
found = {"offers": [offer["version"] for offer in channel["offers"]], "parts": {}}
for offer in channel["offers"]:
    release = document(offer["release"])
    assert release["root"]["root_hash"] == offer["root_hash"]
    count = 0
    for part in [release["manifest"], *parts(release["parts"]), *parts([patch for patch in release["patches"]])]:
        name = part["sha256"]
        with urllib.request.urlopen(f"{base}/parts/{name[:2]}/{name}") as answer:
            body = answer.read()
        assert len(body) == part["size"] and hashlib.sha256(body).hexdigest() == name, name
        count += 1
    found["parts"][offer["version"]] = count
assert updater.get_targetinfo("web.nightly.json") is None
print(json.dumps(found))
