MANIFESTS = ("manifest.csv",)


def load_folder(*a):
    raise SystemExit("x")
