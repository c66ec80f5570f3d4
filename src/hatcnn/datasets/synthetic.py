def synthetic_people(*a):
    raise SystemExit("x")
