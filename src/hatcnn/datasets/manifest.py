MANIFESTS = ("manifest.csv",)


def load_manifest(*a):
    raise SystemExit("x")
