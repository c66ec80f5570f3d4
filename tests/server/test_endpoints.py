def files(crops, name="crop.png"):
    return [("pictures", (name, crop)) for crop in crops]


def test_all(client, crops):
    for call in (
        client.get("/v1/health"),
        client.get("/v1/ready"),
        client.get("/v1/model"),
        client.post("/v1/embed", files=files(crops[:3])),
        client.post("/v1/entries", files=files(crops), data={"camera": "3", "tags": ["a", "b"]}),
        client.get("/v1/entries"),
        client.get("/v1/stats"),
        client.get("/v1/metrics"),
        client.post("/v1/search/picture", files=files(crops[:1]), data={"top_k": 3}),
        client.post("/v1/search/description", json={"description": "woman, red top"}),
    ):
        print(call.status_code, call.text[:300])
        assert call.status_code == 200
    assert 0
